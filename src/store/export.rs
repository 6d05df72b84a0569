//! Reads every subscription together with its secrets.

use super::error::MapSqliteErr as _;
use super::rows::Decoder;
use super::secrets::secret_columns;
use super::subscriptions::EVERY;
use super::transaction::Read;
use crate::error::{Error, Result};
use crate::secret::IssuedSecret;
use crate::subscription::Subscription;

impl Read<'_> {
    /// Hands over every subscription in order, with all its secrets, newest first.
    pub(crate) fn everything(
        &self,
        mut each: impl FnMut(Subscription, Vec<IssuedSecret>),
    ) -> Result<()> {
        let sql = concat!(
            "SELECT k.subscription, ",
            secret_columns!(),
            " FROM _webhook_registry_secret k INDEXED BY \
             sqlite_autoindex__webhook_registry_secret_1 ORDER BY k.subscription, k.serial"
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut row = rows.next().map_sqlite_err()?;
        let mut subscriptions = self.conn.prepare_cached(EVERY).map_sqlite_err()?;
        let mut subscriptions = Decoder::new(subscriptions.query([]).map_sqlite_err()?)?;
        while let Some((seq, subscription)) = subscriptions.next()? {
            let mut secrets = Vec::with_capacity(1);
            // Both come in the order of `seq`. What belongs to no subscription is passed over:
            // `check` tells of it.
            while let Some(of) = row {
                let owner: i64 = of.get(0).map_sqlite_err()?;
                if owner > seq {
                    break;
                }
                if owner == seq {
                    secrets.push(self.issued(of, 1, subscription.id)?);
                }
                row = rows.next().map_sqlite_err()?;
            }
            if secrets.is_empty() {
                return Err(Error::no_secret(subscription.id));
            }
            secrets.reverse();
            each(subscription, secrets);
        }
        Ok(())
    }
}
