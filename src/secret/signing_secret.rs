use std::fmt;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::json::JsonType;
use crate::random::{RandomBuffer, RandomSource};

/// The most characters of a text.
pub(crate) const MAX_TEXT: usize = 256;
/// The most bytes of a key.
pub(crate) const MAX_KEY: usize = 128;
/// The fewest bytes of a key that a registry accepts by default.
pub(crate) const MIN_KEY: usize = 32;
/// The number of bytes of a generated key.
pub(crate) const GENERATED_KEY: usize = 64;

/// Standard base64 as other systems write it. Padding is removed before decoding. The unused bits
/// of the last character are ignored, because many encoders do not clear them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A secret for signing deliveries: a text in base64, stored and returned exactly as given, and the
/// key that it decodes to.
///
/// `Debug` shows only the [fingerprint](SigningSecret::fingerprint), and there is neither `Display`
/// nor `Serialize`. Only [`expose`](SigningSecret::expose) returns the text. `==` compares the
/// texts, in constant time for texts of the same length. A registry compares the keys instead, so
/// two texts of one key are the same secret to it. A secret is zeroed when dropped.
///
/// ```
/// use webhook_registry::SigningSecret;
///
/// let secret = SigningSecret::generate()?;
/// assert_eq!(secret.key().len(), 64);
/// assert_eq!(SigningSecret::parse(secret.expose())?, secret);
/// # Ok::<(), webhook_registry::Error>(())
/// ```
#[derive(Clone)]
pub struct SigningSecret {
    text: Zeroizing<String>,
    /// Decoded when it is first asked for, because most secrets that are read only wait in a cache.
    key: OnceLock<Zeroizing<Vec<u8>>>,
}

impl SigningSecret {
    /// Generates a secret of 64 random bytes with the operating system's generator. The text is
    /// padded standard base64 (88 characters), as [Standard
    /// Webhooks](https://www.standardwebhooks.com) requires.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) if the operating system's generator fails.
    pub fn generate() -> Result<SigningSecret> {
        SigningSecret::generate_with(&mut RandomBuffer::new(&RandomSource::System, GENERATED_KEY))
    }

    /// Generates a secret from random bytes.
    pub(crate) fn generate_with(random: &mut RandomBuffer<'_>) -> Result<SigningSecret> {
        let mut key = Zeroizing::new(vec![0; GENERATED_KEY]);
        random.fill(&mut key)?;
        Ok(SigningSecret { text: Zeroizing::new(STANDARD.encode(&*key)), key: key.into() })
    }

    /// Parses base64 with the standard alphabet, of 1 to 128 bytes in at most 256 characters.
    ///
    /// The padding can be right, missing or surplus. The unused last bits are ignored. The prefix
    /// `whsec_` is allowed, and white space is not. A registry also requires at least 32 bytes, or
    /// the number that [`min_secret_bytes`](crate::RegistryOptions::min_secret_bytes) sets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `secret`. The message does not contain
    /// the text.
    pub fn parse(text: &str) -> Result<SigningSecret> {
        SigningSecret::read(text).map_err(|why| Error::invalid_field("secret", why))
    }

    /// Returns the text, exactly as given.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Returns the decoded bytes, which are the key for signing.
    pub fn key(&self) -> &[u8] {
        self.key.get_or_init(|| {
            let digits = digits(&self.text);
            // The capacity suffices, because growing would leave a copy of the key in freed memory.
            let mut key =
                Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(digits.len())));
            let decoded = LENIENT.decode_vec(digits, &mut key);
            debug_assert!(decoded.is_ok(), "`read` has checked the text");
            key
        })
    }

    /// Returns the number of bytes of the key.
    pub(crate) fn key_len(&self) -> usize {
        key_len(digits(&self.text))
    }

    /// Returns eight characters by which two people can compare a secret without showing it.
    ///
    /// They are the start of the SHA-256 digest of a fixed text and the key, in hexadecimal. The
    /// fingerprint does not reveal the key: a key of 24 random bytes or more cannot be found from
    /// its digest, and at least 2¹⁶⁰ such keys have the same fingerprint. Two texts of the
    /// same key have the same fingerprint. Two different keys have the same one by chance once in 4
    /// billion.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new()
            .chain_update(b"webhook-registry fingerprint\0")
            .chain_update(self.key())
            .finalize();
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns whether the secret has this text. Comparing takes constant time for texts of the
    /// same length.
    pub(crate) fn has_text(&self, text: &str) -> bool {
        self.text.as_bytes().ct_eq(text.as_bytes()).into()
    }

    /// Returns whether both secrets make the same signatures, whatever their texts. The comparison
    /// takes constant time.
    pub(crate) fn has_key_of(&self, other: &SigningSecret) -> bool {
        self.hmac_block().ct_eq(&*other.hmac_block()).into()
    }

    /// Returns the key as HMAC-SHA-256 uses it (RFC 2104): padded with zeros to a block of 64
    /// bytes; of a longer key, the digest. Keys that differ only in zeros at their end sign alike.
    fn hmac_block(&self) -> Zeroizing<[u8; 64]> {
        let mut block = Zeroizing::new([0; 64]);
        let key = match self.key() {
            key if key.len() <= 64 => Zeroizing::new(key.to_vec()),
            key => Zeroizing::new(Sha256::digest(key).to_vec()),
        };
        block.iter_mut().zip(key.iter()).for_each(|(to, from)| *to = *from);
        block
    }

    /// Returns true if the text looks like 32 bytes or more in hexadecimal. Such a text is valid
    /// base64 of another key.
    pub(crate) fn looks_hexadecimal(&self) -> bool {
        const MIN_DIGITS: usize = 64;
        let digits = self.text.strip_prefix("whsec_").unwrap_or(&self.text).as_bytes();
        let only = |letters: fn(&u8) -> bool| {
            digits
                .iter()
                .all(|byte| byte.is_ascii_digit() || (byte.is_ascii_hexdigit() && letters(byte)))
        };
        digits.len() >= MIN_DIGITS
            && digits.iter().any(u8::is_ascii_digit)
            && (only(u8::is_ascii_lowercase) || only(u8::is_ascii_uppercase))
    }

    /// Parses a secret. The error is the reason without the field, which the caller knows.
    pub(crate) fn read(text: &str) -> Result<SigningSecret, String> {
        if text.is_empty() {
            return Err("a secret cannot be empty; leave it out and one is generated".to_owned());
        }
        // A text has at least as many bytes as characters, and nearly none is too long.
        if text.len() > MAX_TEXT && text.chars().nth(MAX_TEXT).is_some() {
            let length = text.chars().count();
            return Err(format!("a secret has at most {MAX_TEXT} characters, not {length}"));
        }
        let digits = digits(text);
        if !is_base64(digits) {
            return Err(why_not_base64(digits).to_owned());
        }
        match key_len(digits) {
            0 => Err("a secret cannot be empty".to_owned()),
            decoded if decoded > MAX_KEY => {
                Err(format!("a secret has at most {MAX_KEY} bytes once decoded, not {decoded}"))
            }
            _ => Ok(SigningSecret { text: Zeroizing::new(text.to_owned()), key: OnceLock::new() }),
        }
    }

    /// Parses a secret whose key has at least `min_key` bytes.
    pub(crate) fn read_at_least(text: &str, min_key: usize) -> Result<SigningSecret, String> {
        let secret = SigningSecret::read(text)?;
        match secret.key_len() {
            short if short < min_key => {
                Err(format!("a secret has at least {min_key} bytes once decoded, not {short}"))
            }
            _ => Ok(secret),
        }
    }
}

/// Returns the characters of a text that stand for its key.
fn digits(text: &str) -> &str {
    text.strip_prefix("whsec_").unwrap_or(text).trim_end_matches('=')
}

/// Returns whether [`LENIENT`] decodes this text, without decoding it.
fn is_base64(digits: &str) -> bool {
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // No number of bytes has one character more than whole groups of four.
    digits.len() % 4 != 1 && digits.bytes().fold(true, |all, byte| all & in_alphabet(byte))
}

/// Returns how many bytes this many base64 digits stand for.
fn key_len(digits: &str) -> usize {
    let rest = (digits.len() % 4).saturating_sub(1);
    (digits.len() / 4).saturating_mul(3).saturating_add(rest)
}

/// Explains why a text does not decode, without repeating any of it.
fn why_not_base64(digits: &str) -> &'static str {
    let standard = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let url_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if digits.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("whsec_")) {
        "a secret has to be standard base64, after a prefix of `whsec_` in lower case"
    } else if digits.chars().all(standard) {
        // The only length that no number of bytes has.
        "a secret has to be standard base64 of whole bytes: the number of its characters without \
         `=` cannot be a multiple of 4 plus 1, so a character is missing or too many"
    } else if digits.chars().all(url_safe) {
        "a secret has to be standard base64, and this is URL-safe base64: write `+` instead of `-` \
         and `/` instead of `_`"
    } else {
        "a secret has to be standard base64 without white space"
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret(fingerprint {})", self.fingerprint())
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &SigningSecret) -> bool {
        self.has_text(&other.text)
    }
}

impl Eq for SigningSecret {}

/// The text of a secret before validation. It is zeroed when dropped, and `Debug` redacts it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct SecretText(Zeroizing<String>);

impl SecretText {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> SecretText {
        SecretText(Zeroizing::new(text))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

impl JsonType for SecretText {
    const EXPECTED: &'static str = String::EXPECTED;
    const OR_NULL: &'static str = String::OR_NULL;

    fn placeholder() -> Option<SecretText> {
        Some(SecretText::default())
    }

    fn text(value: String) -> Option<SecretText> {
        Some(SecretText::from(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_accepted_if_it_decodes_to_a_key_of_1_to_128_bytes(
            text in "(whsec_)?([A-Za-z0-9+/]{0,180}|[A-Za-z0-9+/=_ é-]{0,20})={0,3}",
        ) {
            let mut key = Vec::new();
            let decodes = LENIENT.decode_vec(digits(&text), &mut key).is_ok();
            let accepted = decodes && (1..=MAX_KEY).contains(&key.len());
            let read = SigningSecret::read(&text);
            prop_assert_eq!(read.is_ok(), accepted, "{}", text);
            if let Ok(secret) = read {
                prop_assert_eq!(secret.key_len(), key.len());
                prop_assert_eq!(secret.key(), key);
            }
        }
    }
}
