//! XChaCha20-Poly1305 over one secret, bound to its file and its place in it.

#[cfg(feature = "encryption")]
mod sealed {
    use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
    use chacha20poly1305::{XChaCha20Poly1305, XNonce};
    use zeroize::Zeroizing;

    use crate::error::{Error, ErrorKind, Result};
    use crate::random::RandomSource;
    use crate::secret::EncryptionKey;

    const NONCE: usize = 24;

    #[derive(Clone)]
    pub(in crate::store) struct Cipher {
        aead: XChaCha20Poly1305,
        file: Vec<u8>,
    }

    impl Cipher {
        pub(in crate::store) fn new(key: &EncryptionKey, file: Vec<u8>) -> Cipher {
            Cipher { aead: XChaCha20Poly1305::new(key.bytes().into()), file }
        }

        /// A cipher with this key, if it opens what was sealed for that place.
        pub(in crate::store) fn fitting(
            key: &EncryptionKey,
            file: Vec<u8>,
            place: &[u8],
            sealed: &[u8],
        ) -> Option<Cipher> {
            let cipher = Cipher::new(key, file);
            cipher.open(place, sealed).is_some().then_some(cipher)
        }

        /// A fresh random nonce, and what the text is sealed to.
        pub(in crate::store) fn seal(&self, place: &[u8], text: &[u8]) -> Result<Vec<u8>> {
            let mut nonce = [0; NONCE];
            RandomSource::System.fill(&mut nonce)?;
            let aad = self.bound_to(place);
            let sealed = self.aead.encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad });
            let sealed = sealed
                .map_err(|_| Error::new(ErrorKind::Storage, "a secret could not be sealed"))?;
            Ok([&nonce[..], &sealed].concat())
        }

        /// None for what was sealed with another key, for another file or another place, or is damaged.
        pub(in crate::store) fn open(
            &self,
            place: &[u8],
            sealed: &[u8],
        ) -> Option<Zeroizing<Vec<u8>>> {
            let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
            let aad = self.bound_to(place);
            self.aead
                .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
                .ok()
                .map(Zeroizing::new)
        }

        fn bound_to(&self, place: &[u8]) -> Vec<u8> {
            [b"webhook-registry 1\0", self.file.as_slice(), place].concat()
        }
    }
}

/// Without the feature there is none.
#[cfg(not(feature = "encryption"))]
mod sealed {
    use zeroize::Zeroizing;

    use crate::error::Result;
    use crate::secret::EncryptionKey;

    #[derive(Clone)]
    pub(in crate::store) enum Cipher {}

    impl Cipher {
        pub(in crate::store) fn new(key: &EncryptionKey, _: Vec<u8>) -> Cipher {
            match *key {}
        }

        pub(in crate::store) fn fitting(
            key: &EncryptionKey,
            _: Vec<u8>,
            _: &[u8],
            _: &[u8],
        ) -> Option<Cipher> {
            match *key {}
        }

        pub(in crate::store) fn seal(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>> {
            match *self {}
        }

        pub(in crate::store) fn open(&self, _: &[u8], _: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
            match *self {}
        }
    }
}

pub(super) use sealed::Cipher;
