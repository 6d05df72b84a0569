use url::Url;

use super::{public_host, rules};
use crate::error::{Error, Result};

/// The URLs that a registry accepts.
///
/// Every policy requires the [rules](crate::NewSubscription#rules) for every URL, and in addition:
///
/// | policy | requires |
/// |---|---|
/// | [`any`](UrlPolicy::any) | nothing |
/// | [`https_only`](UrlPolicy::https_only) | `https` |
/// | [`public_https`](UrlPolicy::public_https) | `https`, and a public host |
///
/// With [`RegistryOptions::url_policy`](crate::RegistryOptions::url_policy), a registry validates
/// new and changed URLs. URLs that are already in the file stay as they are.
/// [`check`](UrlPolicy::check) validates such a URL, or the input of a form.
///
/// # What it is not
///
/// A policy is a pure function of the text. It resolves no name, opens no connection and reads no
/// clock. A public name can resolve to a private address, today or later, and a receiver can
/// respond with a redirect. The program that delivers has to check the address that it connects to,
/// and the target of each redirect.
///
/// # Examples
///
/// ```
/// use webhook_registry::{ErrorKind, NewSubscription, Registry, UrlPolicy};
///
/// let policy = UrlPolicy::public_https();
/// policy.check("https://hooks.example.com/crm")?;
/// let error = policy.check("https://0x7f.1/crm").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// assert_eq!(
///     error.to_string(),
///     "url: the host has to be public, but 127.0.0.1 is a loopback address"
/// );
///
/// let registry = Registry::options().url_policy(policy).in_memory()?;
/// registry.register_event_type("agent.presencechanged.v1")?;
/// let request = NewSubscription::new("crm", "http://localhost/", ["agent.*"]);
/// let error = registry.create(request).unwrap_err();
/// assert_eq!(error.problems()[0].field(), "url");
/// # Ok::<(), webhook_registry::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPolicy(Requirement);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Any,
    Https,
    PublicHttps,
}

impl UrlPolicy {
    /// Accepts every valid URL, including `http` and private hosts.
    pub fn any() -> UrlPolicy {
        UrlPolicy(Requirement::Any)
    }

    /// Accepts `https` URLs with any host.
    pub fn https_only() -> UrlPolicy {
        UrlPolicy(Requirement::Https)
    }

    /// Accepts `https` URLs whose host is public, as far as the text shows.
    ///
    /// The host is taken from the parser of the [URL standard](https://url.spec.whatwg.org/):
    /// `127.1`, `0x7f.1`, `2130706433` and full-width digits are all 127.0.0.1. These hosts and
    /// ports are rejected:
    ///
    /// - addresses that IANA's special-purpose registries for
    ///   [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry) and
    ///   [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry) do not list as
    ///   globally reachable: loopback, private, link-local, shared, documentation, benchmark,
    ///   reserved and the like;
    /// - multicast, `fec0::/10` and all of `::/96`;
    /// - IPv6 addresses that contain such an IPv4 address: mapped (`::ffff:0:0/96`), translated
    ///   (`::ffff:0:0:0/96`), NAT64 (`64:ff9b::/96`), 6to4 (`2002::/16`) and ISATAP (`::5efe:…`
    ///   and `::200:5efe:…` behind any prefix);
    /// - the names `localhost`, `localdomain`, `localdomain4`, `localdomain6`, `local`, `internal`,
    ///   `home.arpa` and `invalid`, with all names below them, and names with a single label;
    /// - names that DNS cannot represent: an empty label (`a..b`, `.example.com`), a label of more
    ///   than 63 bytes, more than 253 bytes in total;
    /// - names with a character other than letters, digits, `-`, `_` and `.`, after the parser has
    ///   converted them to ASCII;
    /// - any host that ends with a dot;
    /// - the port 0.
    ///
    /// The registries are those of October 2025. IPv6 addresses that they do not list are accepted,
    /// also where they are not allocated.
    pub fn public_https() -> UrlPolicy {
        UrlPolicy(Requirement::PublicHttps)
    }

    /// Validates a URL, by the rules for every URL first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `url`. The message can contain the
    /// scheme and the host, but no user name, password, path or query.
    pub fn check(&self, url: &str) -> Result<()> {
        self.validate(url).map_err(|why| Error::invalid_field("url", why))
    }

    /// Validates a URL. The error is the reason without the field, which the caller knows.
    pub(crate) fn validate(&self, url: &str) -> Result<(), String> {
        let parsed = rules::parse(url)?;
        let problems: Vec<String> = match self.0 {
            Requirement::Any => Vec::new(),
            Requirement::Https => require_https(&parsed).err().into_iter().collect(),
            Requirement::PublicHttps => require_https(&parsed)
                .err()
                .into_iter()
                .chain(public_host::check(url, &parsed))
                .collect(),
        };
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

fn require_https(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        scheme => Err(format!("the scheme has to be https, not {scheme}")),
    }
}
