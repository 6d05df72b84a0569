//! Encrypts single secrets with XChaCha20-Poly1305, bound to their file and their row.

#[cfg(feature = "encryption")]
mod cipher {
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

        /// Returns a cipher with this key, if it decrypts a ciphertext with this binding.
        pub(in crate::store) fn fitting(
            key: &EncryptionKey,
            file: Vec<u8>,
            binding: &[u8],
            ciphertext: &[u8],
        ) -> Option<Cipher> {
            let cipher = Cipher::new(key, file);
            cipher.decrypt(binding, ciphertext).is_some().then_some(cipher)
        }

        /// Encrypts a text. Returns a random nonce, followed by the ciphertext.
        pub(in crate::store) fn encrypt(&self, binding: &[u8], text: &[u8]) -> Result<Vec<u8>> {
            let mut nonce = [0; NONCE];
            RandomSource::System.fill(&mut nonce)?;
            let aad = self.associated_data(binding);
            let ciphertext =
                self.aead.encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad });
            let ciphertext = ciphertext
                .map_err(|_| Error::new(ErrorKind::Storage, "a secret could not be encrypted"))?;
            Ok([&nonce[..], &ciphertext].concat())
        }

        /// Decrypts a ciphertext. Returns None where it is damaged, or belongs to another key, file
        /// or row.
        pub(in crate::store) fn decrypt(
            &self,
            binding: &[u8],
            ciphertext: &[u8],
        ) -> Option<Zeroizing<Vec<u8>>> {
            let (nonce, ciphertext) = ciphertext.split_first_chunk::<NONCE>()?;
            let aad = self.associated_data(binding);
            self.aead
                .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad })
                .ok()
                .map(Zeroizing::new)
        }

        fn associated_data(&self, binding: &[u8]) -> Vec<u8> {
            [b"webhook-registry 1\0", self.file.as_slice(), binding].concat()
        }
    }
}

/// The cipher without the feature: no value of it exists.
#[cfg(not(feature = "encryption"))]
mod cipher {
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

        pub(in crate::store) fn encrypt(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>> {
            match *self {}
        }

        pub(in crate::store) fn decrypt(&self, _: &[u8], _: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
            match *self {}
        }
    }
}

pub(super) use cipher::Cipher;
