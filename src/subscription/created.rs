use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::stored::Subscription;
use crate::secret::{IssuedSecret, SigningSecret};

/// A subscription that was created, with its secret.
///
/// # JSON
///
/// The JSON of [`Subscription`] with `secret` after `enabled`: the answer to a webhook API's
/// `POST /subscriptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub(crate) subscription: Subscription,
    pub(crate) secret: IssuedSecret,
}

impl Created {
    /// Returns the new subscription.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Returns its secret, given or generated.
    pub fn secret(&self) -> &SigningSecret {
        self.secret.secret()
    }

    /// Splits the value into the subscription and its secret.
    pub fn into_parts(self) -> (Subscription, SigningSecret) {
        (self.subscription, self.secret.secret)
    }
}

impl Serialize for Created {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        self.subscription.serialize_entries(&mut object, Some(self.secret()))?;
        object.end()
    }
}
