use url::Url;

use super::public_host;
use crate::error::{Error, Result};

/// Where a webhook may point.
///
/// Every policy asks for what every URL has to be (see the [rules](crate::NewSubscription#rules)), and then for more:
///
/// | policy | asks besides |
/// |---|---|
/// | [`any`](UrlPolicy::any) | nothing |
/// | [`https_only`](UrlPolicy::https_only) | `https` |
/// | [`public_https`](UrlPolicy::public_https) | `https`, and a host that can be public by its spelling |
///
/// Given to [`RegistryOptions::url_policy`](crate::RegistryOptions::url_policy), it judges URLs that are new or changed.
/// The rest of the file is left as it is, so [`check`](UrlPolicy::check) is also there for what was accepted before, and
/// for forms.
///
/// # What it is not
///
/// It is a pure function of the text: no DNS, no clock, no connection. A public name can resolve to a private address,
/// today or at the next look-up, and a receiver can answer with a redirect. Whoever delivers has to look at the address
/// that it connects to, and follow no redirect unjudged.
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
/// assert_eq!(error.to_string(), "url: the host has to be public, but 127.0.0.1 is a loopback address");
///
/// let registry = Registry::options().url_policy(policy).in_memory()?;
/// registry.register_event_type("agent.presencechanged.v1")?;
/// let error = registry.create(NewSubscription::new("crm", "http://localhost/", ["agent.*"])).unwrap_err();
/// assert_eq!(error.problems()[0].field(), "url");
/// # Ok::<(), webhook_registry::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPolicy(Asks);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asks {
    Any,
    Https,
    PublicHttps,
}

impl UrlPolicy {
    /// Whatever keeps the rules for every URL: also `http`, and also hosts of one's own network.
    pub fn any() -> UrlPolicy {
        UrlPolicy(Asks::Any)
    }

    /// `https` to any host.
    pub fn https_only() -> UrlPolicy {
        UrlPolicy(Asks::Https)
    }

    /// `https`, and no host that is by its spelling not public.
    ///
    /// The host is judged as the [URL standard](https://url.spec.whatwg.org/)'s parser reads it: `127.1`, `0x7f.1`,
    /// `2130706433` and full-width digits are all 127.0.0.1. Refused are
    ///
    /// - addresses that IANA's special-purpose registries for
    ///   [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry) and
    ///   [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry) do not call globally reachable: loopback,
    ///   private, link-local, shared, documentation, benchmark, reserved and the like;
    /// - multicast, `fec0::/10` and all of `::/96`;
    /// - IPv6 that holds such an IPv4 address: mapped (`::ffff:0:0/96`), translated (`::ffff:0:0:0/96`), NAT64
    ///   (`64:ff9b::/96`), 6to4 (`2002::/16`) and ISATAP (`::5efe:…` and `::200:5efe:…` behind any prefix);
    /// - the names `localhost`, `localdomain`, `localdomain4`, `localdomain6`, `local`, `internal`, `home.arpa` and
    ///   `invalid`, with all names below them, and names of one label;
    /// - names that DNS cannot carry: an empty label (`a..b`, `.example.com`), a label of more than 63 bytes, more than 253
    ///   bytes in all; and names with a character other than letters, digits, `-`, `_` and `.`, once the parser has
    ///   written them in ASCII;
    /// - any host that ends in a dot;
    /// - the port 0.
    ///
    /// The registries are as of October 2025. IPv6 that they do not mention passes, also where nobody has been given it.
    pub fn public_https() -> UrlPolicy {
        UrlPolicy(Asks::PublicHttps)
    }

    /// Judges a URL, by the rules for every URL first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `url`. The message can name the scheme and the host; it
    /// repeats no user name, password, path or query.
    pub fn check(&self, url: &str) -> Result<()> {
        self.judge(url).map_err(|why| Error::invalid_field("url", why))
    }

    /// Judges; the error is the reason alone, for whoever knows the field.
    pub(crate) fn judge(&self, url: &str) -> Result<(), String> {
        let parsed = super::check(url)?;
        let faults: Vec<String> = match self.0 {
            Asks::Any => Vec::new(),
            Asks::Https => https(&parsed).err().into_iter().collect(),
            Asks::PublicHttps => {
                https(&parsed).err().into_iter().chain(public_host::check(url, &parsed)).collect()
            }
        };
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }
}

fn https(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        scheme => Err(format!("the scheme has to be https, not {scheme}")),
    }
}
