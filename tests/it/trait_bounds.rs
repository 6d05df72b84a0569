//! Tests the traits and sizes of public types that servers depend on.

use std::error::Error as StdError;
use std::fmt::{Debug, Display};

use webhook_registry::{
    Catalog, Created, Durability, Error, ErrorKind, EventPattern, EventType, Explanation,
    ExplanationEntry, IssuedSecret, ListQuery, NewSubscription, Page, Problem, Registry,
    RegistryOptions, Rotation, SigningSecret, Subscriber, Subscribers, Subscription,
    SubscriptionId, SubscriptionUpdate,
};

use crate::support::contact_center;

#[test]
fn an_error_is_one_word_wide_send_and_sync() {
    fn goes_anywhere<T: StdError + Send + Sync + 'static>() {}
    goes_anywhere::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Error>>(), size_of::<usize>());
}

#[test]
fn public_values_implement_the_traits_that_servers_need() {
    fn shared<T: Debug + Clone + Send + Sync + 'static>() {}
    fn value<T: Debug + Clone + PartialEq + Eq + Send + Sync + 'static>() {}
    fn key<T: Debug + Clone + Eq + std::hash::Hash + Ord + Display>() {}
    fn is_copied<T: Debug + Copy + Eq + std::hash::Hash>() {}
    shared::<Registry>();
    shared::<RegistryOptions>();
    shared::<Subscribers>();
    shared::<Subscriber>();
    value::<NewSubscription>();
    value::<SubscriptionUpdate>();
    value::<ListQuery>();
    value::<Subscription>();
    value::<Created>();
    value::<Page>();
    value::<Catalog>();
    value::<EventType>();
    value::<Explanation>();
    value::<ExplanationEntry>();
    value::<SigningSecret>();
    value::<Rotation>();
    value::<IssuedSecret>();
    value::<Problem>();
    value::<webhook_registry::Ensured>();
    value::<webhook_registry::Plan>();
    value::<webhook_registry::Step>();
    value::<webhook_registry::Applied>();
    value::<webhook_registry::Change>();
    value::<webhook_registry::FieldChange>();
    value::<webhook_registry::Report>();
    value::<webhook_registry::Finding>();
    value::<webhook_registry::Export>();
    is_copied::<webhook_registry::Prune>();
    is_copied::<webhook_registry::StepKind>();
    is_copied::<webhook_registry::ChangeKind>();
    key::<SubscriptionId>();
    key::<EventPattern>();
    let copy = |kind: ErrorKind, durability: Durability, id: SubscriptionId| (kind, durability, id);
    fn is_copy<T: Copy>(_: &T) {}
    let id: SubscriptionId = "01K9V3T0Z2B4C6D8E0F2G4H6J8".parse().unwrap();
    is_copy(&copy(ErrorKind::Busy, Durability::Relaxed, id));
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    assert_eq!(is_send(contact_center().iter(ListQuery::new())).count(), 0);
}
