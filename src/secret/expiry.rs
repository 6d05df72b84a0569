//! A secret with its times.

use std::time::SystemTime;

use super::signing_secret::SigningSecret;
use crate::time::Millis;

/// A secret of a subscription, with its times, from
/// [`Registry::secrets`](crate::Registry::secrets).
///
/// It is valid until [`expires_at`](IssuedSecret::expires_at), exclusive, in milliseconds of the
/// registry's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedSecret {
    pub(crate) secret: SigningSecret,
    pub(crate) created_at: Millis,
    pub(crate) expires_at: Option<Millis>,
}

impl IssuedSecret {
    /// Creates a secret that does not expire.
    pub(crate) fn current(secret: SigningSecret, now: Millis) -> IssuedSecret {
        IssuedSecret { secret, created_at: now, expires_at: None }
    }

    /// Returns whether the secret has not expired.
    pub(crate) fn is_live(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|until| now < until)
    }

    /// Returns the secret.
    pub fn secret(&self) -> &SigningSecret {
        &self.secret
    }

    /// Returns the time at which a call made this secret the current one.
    pub fn created_at(&self) -> SystemTime {
        self.created_at.into()
    }

    /// Returns the time at which the secret expires. The current secret has none.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at.map(Into::into)
    }
}
