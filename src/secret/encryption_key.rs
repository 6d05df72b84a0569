//! The key that encrypts the secrets in a file.

#[cfg(feature = "encryption")]
mod imp {
    use std::fmt;

    use zeroize::Zeroizing;

    /// A key of 256 bits. It is zeroed when dropped, and `Debug` redacts it.
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

/// Without the feature `encryption` no key can exist.
#[cfg(not(feature = "encryption"))]
mod imp {
    #[derive(Clone, Debug)]
    pub(crate) enum EncryptionKey {}
}

pub(crate) use imp::EncryptionKey;
