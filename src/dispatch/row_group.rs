use super::subscriber::{Subscriber, SubscriberFields};
use crate::error::Result;
use crate::store::SubscriberRow;
use crate::subscription::check_recipient;
use crate::time::Clock;

/// The rows of one subscriber that were read so far, one for each of its secrets.
pub(super) enum RowGroup<'p> {
    /// The rows differ from the previous answer, or it does not hold the subscriber.
    Changed(SubscriberFields),
    /// The rows are those of the previous answer, up to this number of secrets.
    Unchanged(&'p Subscriber, usize),
}

impl<'p> RowGroup<'p> {
    /// Starts a group with the first row of a subscriber, which `previous` may be.
    pub(super) fn start(
        row: &SubscriberRow<'_>,
        previous: Option<&'p Subscriber>,
    ) -> Result<RowGroup<'p>> {
        match previous {
            Some(previous) if is_unchanged(row, previous.fields())? => {
                Ok(RowGroup::Unchanged(previous, 1))
            }
            _ => Ok(RowGroup::Changed(decode(row)?)),
        }
    }

    pub(super) fn position(&self) -> i64 {
        match self {
            RowGroup::Changed(fields) => fields.position,
            RowGroup::Unchanged(previous, _) => previous.fields().position,
        }
    }

    /// Adds the secret of the subscriber's next row.
    pub(super) fn add(self, row: &SubscriberRow<'_>) -> Result<RowGroup<'p>> {
        match self {
            RowGroup::Unchanged(previous, secrets)
                if row.has_secret(previous.fields().secrets.get(secrets))? =>
            {
                Ok(RowGroup::Unchanged(previous, secrets.saturating_add(1)))
            }
            changed => {
                let mut fields = changed.into_fields();
                fields.secrets.push(row.secret(fields.id)?);
                Ok(RowGroup::Changed(fields))
            }
        }
    }

    /// Returns the subscriber after its last row.
    pub(super) fn finish(self, clock: &Clock) -> Subscriber {
        match self {
            RowGroup::Unchanged(previous, secrets)
                if secrets == previous.fields().secrets.len() =>
            {
                previous.clone()
            }
            // An unchanged group with fewer secrets than before has lost its oldest ones.
            changed => Subscriber::new(changed.into_fields(), clock.clone()),
        }
    }

    fn into_fields(self) -> SubscriberFields {
        match self {
            RowGroup::Changed(fields) => fields,
            RowGroup::Unchanged(previous, secrets) => {
                let mut fields = previous.fields().clone();
                fields.secrets.truncate(secrets);
                fields
            }
        }
    }
}

/// Returns whether the first row of a subscriber holds the same values as before.
fn is_unchanged(row: &SubscriberRow<'_>, previous: &SubscriberFields) -> Result<bool> {
    let SubscriberFields { position: _, id, owner, name, url, metadata, enabled, secrets } =
        previous;
    Ok(row.has_name(name)?
        && row.has_url(url)?
        && row.enabled()? == *enabled
        && row.has_secret(secrets.first())?
        && row.id()? == *id
        && row.has_owner(owner.as_deref())?
        && row.metadata(*id)? == *metadata)
}

/// Decodes the first row of a subscriber, and rejects values that no registry writes.
fn decode(row: &SubscriberRow<'_>) -> Result<SubscriberFields> {
    let id = row.id()?;
    let (name, url, metadata) = (row.name(id)?, row.url(id)?, row.metadata(id)?);
    check_recipient(name, url, &metadata).map_err(|problem| row.corrupt(id, &problem))?;
    Ok(SubscriberFields {
        position: row.position(),
        id,
        owner: row.owner(id)?,
        name: name.to_owned(),
        url: url.to_owned(),
        metadata,
        enabled: row.enabled()?,
        secrets: vec![row.secret(id)?],
    })
}
