//! The key that secrets in a file are sealed with.

#[cfg(feature = "encryption")]
mod kept {
    use std::fmt;

    use zeroize::Zeroizing;

    /// Zeroed when dropped, and never shown.
    #[derive(Clone)]
    pub(crate) struct EncryptionKey(Zeroizing<[u8; 32]>);

    impl EncryptionKey {
        pub(crate) fn new(key: [u8; 32]) -> EncryptionKey {
            EncryptionKey(Zeroizing::new(key))
        }

        pub(crate) fn bytes(&self) -> &[u8; 32] {
            &self.0
        }
    }

    impl fmt::Debug for EncryptionKey {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("EncryptionKey(redacted)")
        }
    }
}

/// Without the feature there is none.
#[cfg(not(feature = "encryption"))]
mod kept {
    #[derive(Clone, Debug)]
    pub(crate) enum EncryptionKey {}
}

pub(crate) use kept::EncryptionKey;
