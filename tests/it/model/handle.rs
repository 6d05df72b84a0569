//! The handles of one opened registry.

use webhook_registry::Registry;

use super::naive::{OWNERS, Scope};

/// A registry with the handles for all scopes.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    registry: Registry,
    owners: [Registry; OWNERS.len()],
    every: Registry,
    pub(super) limit: Option<u64>,
}

impl Handle {
    pub(super) fn new(registry: Registry, limit: Option<u64>) -> Handle {
        let owners = OWNERS.map(|owner| registry.for_owner(owner).unwrap());
        let every = registry.for_every_owner().unwrap();
        Handle { registry, owners, every, limit }
    }

    pub(super) fn scoped(&self, scope: Scope) -> Registry {
        match scope {
            Scope::NoOwner => self.registry.clone(),
            Scope::Owner(owner) => {
                self.owners[OWNERS.iter().position(|one| *one == owner).unwrap()].clone()
            }
            Scope::Every => self.every.clone(),
        }
    }
}
