mod key;
mod rotation;

use std::fmt;

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

pub(crate) use key::EncryptionKey;
pub(crate) use rotation::MAX_OLD;
pub use rotation::{IssuedSecret, Rotation};

const MAX_TEXT: usize = 256;
/// The most bytes of a key.
pub(crate) const MAX_KEY: usize = 128;
/// The fewest bytes that a registry takes for a key, unless it was told another number.
pub(crate) const MIN_KEY: usize = 32;
/// The bytes of a key that is generated.
pub(crate) const GENERATED_KEY: usize = 64;

/// Standard base64 as other systems write it: padding is trimmed before, and the unused bits of the last character,
/// which many encoders leave dirty, do not count.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A secret for signing deliveries: base64 text that is kept and returned exactly as given, and the key that it
/// decodes to.
///
/// Its `Debug` shows only the [fingerprint](SigningSecret::fingerprint); it has neither `Display` nor `Serialize`, compares its text in constant time (of texts of the
/// same length), and is zeroed when dropped. Where a registry asks whether two secrets are the same, it compares their
/// keys. The text is reached by [`expose`](SigningSecret::expose) alone.
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
    key: Zeroizing<Vec<u8>>,
}

impl SigningSecret {
    /// Makes a secret of 64 random bytes from the operating system's generator, written in padded standard base64 (88
    /// characters). So it is also a key as [Standard Webhooks](https://www.standardwebhooks.com) wants it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) when the operating system's generator fails.
    pub fn generate() -> Result<SigningSecret> {
        SigningSecret::drawn(&mut RandomBuffer::new(&RandomSource::System, GENERATED_KEY))
    }

    /// Makes a secret from this randomness.
    pub(crate) fn drawn(draws: &mut RandomBuffer<'_>) -> Result<SigningSecret> {
        let mut key = Zeroizing::new(vec![0; GENERATED_KEY]);
        draws.fill(&mut key)?;
        Ok(SigningSecret { text: Zeroizing::new(STANDARD.encode(&*key)), key })
    }

    /// Reads base64 of 1 to 128 bytes in at most 256 characters: the standard alphabet, padding right, missing or
    /// surplus, unused last bits ignored, an optional `whsec_` in front. No white space.
    ///
    /// A registry asks for at least 32 bytes besides, or as many as its
    /// [`min_secret_bytes`](crate::RegistryOptions::min_secret_bytes) says.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `secret`, without repeating it.
    pub fn parse(text: &str) -> Result<SigningSecret> {
        SigningSecret::read(text).map_err(|why| Error::invalid_field("secret", why))
    }

    /// The text, verbatim.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The decoded bytes: the key to sign with.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Eight characters that let two people compare a secret by eye without showing it: the start of the SHA-256 digest of
    /// a fixed text and the key, in hexadecimal.
    ///
    /// It gives nothing away, because a key of 24 random bytes or more cannot be found from its digest, and what is left
    /// of the digest fits 2¹⁶⁰ such keys and more. Secrets whose texts differ but decode to the same key have the same
    /// fingerprint. Two different keys share one by chance once in 4 billion.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new()
            .chain_update(b"webhook-registry fingerprint\0")
            .chain_update(&*self.key)
            .finalize();
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this is the secret's text, compared in constant time.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text.as_bytes().ct_eq(text.as_bytes()).into()
    }

    /// Whether both decode to the same key, and so make the same signatures, whatever their texts. Compared in constant
    /// time, of keys of the same length.
    pub(crate) fn has_key_of(&self, other: &SigningSecret) -> bool {
        self.key.ct_eq(&other.key).into()
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

    /// Parses; the error is the reason alone, for whoever knows the field.
    pub(crate) fn read(text: &str) -> Result<SigningSecret, String> {
        if text.is_empty() {
            return Err("a secret cannot be empty; leave it out and one is generated".to_owned());
        }
        let length = text.chars().count();
        if length > MAX_TEXT {
            return Err(format!("a secret has at most {MAX_TEXT} characters, not {length}"));
        }
        let digits = text.strip_prefix("whsec_").unwrap_or(text).trim_end_matches('=');
        // Room for all of it, so that no copy is left behind by growing.
        let mut key =
            Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(digits.len())));
        // The decoder's own reason would repeat a character of the secret.
        LENIENT.decode_vec(digits, &mut key).map_err(|_| why_not_base64(digits).to_owned())?;
        match key.len() {
            0 => Err("a secret cannot be empty".to_owned()),
            decoded if decoded > MAX_KEY => {
                Err(format!("a secret has at most {MAX_KEY} bytes once decoded, not {decoded}"))
            }
            _ => Ok(SigningSecret { text: Zeroizing::new(text.to_owned()), key }),
        }
    }

    /// Parses a secret for a registry, which asks for `least` bytes.
    pub(crate) fn read_at_least(text: &str, least: usize) -> Result<SigningSecret, String> {
        let secret = SigningSecret::read(text)?;
        match secret.key.len() {
            short if short < least => {
                Err(format!("a secret has at least {least} bytes once decoded, not {short}"))
            }
            _ => Ok(secret),
        }
    }
}

/// Explains why a text does not decode, without repeating any of it.
fn why_not_base64(digits: &str) -> &'static str {
    let standard = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let url_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if digits.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("whsec_")) {
        "a secret is standard base64, after a prefix of `whsec_` in lower case"
    } else if digits.chars().all(standard) {
        // The only length that no number of bytes has.
        "a secret is standard base64 of whole bytes: the number of its characters without `=` cannot be a \
         multiple of 4 plus 1, so a character is missing or too many"
    } else if digits.chars().all(url_safe) {
        "a secret is standard base64, and this is URL-safe base64: write `+` instead of `-` and `/` \
         instead of `_`"
    } else {
        "a secret is standard base64 without white space"
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret(fingerprint {})", self.fingerprint())
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &SigningSecret) -> bool {
        self.is(&other.text)
    }
}

impl Eq for SigningSecret {}

/// The text of a secret that has not been judged yet.
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
