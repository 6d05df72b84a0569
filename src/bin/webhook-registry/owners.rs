//! `owners`: who has subscriptions.

use webhook_registry::Registry;

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::session::Session;

/// The number of owners that one call of the library reads.
const PAGE: usize = 1000;

pub(crate) fn owners(session: &Session, out: &mut Output) -> Result<Outcome, Failure> {
    let mut owners = Owners {
        registry: &session.registry,
        page: Vec::new().into_iter(),
        end: false,
        last: None,
    };
    if out.json() {
        out.array(owners)?;
    } else {
        owners.try_for_each(|owner| Ok::<_, Failure>(out.line(owner?)?))?;
    }
    Ok(Outcome::Done)
}

/// All owners, read page by page.
struct Owners<'a> {
    registry: &'a Registry,
    page: std::vec::IntoIter<String>,
    last: Option<String>,
    end: bool,
}

impl Iterator for Owners<'_> {
    type Item = Result<String, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(owner) = self.page.next() {
            return Some(Ok(owner));
        }
        if self.end {
            return None;
        }
        match self.registry.owners(self.last.as_deref(), PAGE) {
            Ok(page) => {
                self.end = page.len() < PAGE;
                self.last = page.last().cloned();
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
            Err(error) => {
                self.end = true;
                Some(Err(error.into()))
            }
        }
    }
}
