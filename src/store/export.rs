//! Reads every subscription together with its secrets.

use super::error::MapSqliteErr as _;
use super::rows::Decoder;
use super::subscriptions::EVERY;
use super::transaction::Read;
use crate::error::Result;
use crate::secret::IssuedSecret;
use crate::subscription::Subscription;

impl Read<'_> {
    /// Hands over every subscription in order, with all its secrets, newest first.
    pub(crate) fn everything(
        &self,
        mut each: impl FnMut(Subscription, Vec<IssuedSecret>),
    ) -> Result<()> {
        let mut subscriptions = self.conn.prepare_cached(EVERY).map_sqlite_err()?;
        let mut subscriptions = Decoder::new(subscriptions.query([]).map_sqlite_err()?);
        while let Some((seq, subscription)) = subscriptions.next()? {
            let secrets = self.secrets(seq, subscription.id)?;
            each(subscription, secrets);
        }
        Ok(())
    }
}
