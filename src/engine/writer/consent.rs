//! Commands about who may be found by whom.

use crate::discovery::tag::GENERATIONS_MAX;
use crate::engine::api::{Answer, ConsentCommand};
use crate::engine::consent::Suppression;
use crate::engine::writer::Deciding;
use crate::error::{Error, Result};
use crate::model::ids::RecordId;
use crate::model::normalized::Normalized;
use crate::resolve::consent;
use crate::resolve::prepare::Prepared;
use crate::resolve::upsert::{Now, Step};

impl Deciding<'_> {
    pub(super) fn consent(&mut self, command: &ConsentCommand, now: Now<'_>) -> Result<Answer> {
        let contact = command.contact();
        let steps = match command {
            ConsentCommand::Policy { contact, policy } => consent::set_policy(self.shard, *contact, policy, now)?,
            ConsentCommand::Block { contact, other, holds } => {
                consent::set_block(self.shard, *contact, *other, *holds, now)?
            }
            ConsentCommand::Sharing { contact, fields } => consent::set_sharing(self.shard, *contact, fields, now)?,
            ConsentCommand::OptOut { contact } => {
                let suppression = self.suppression();
                consent::opt_out(self.shard, *contact, &|email, text| suppression.tag(email, text), now)?
            }
            ConsentCommand::User { contact, user } => consent::set_user(self.shard, *contact, *user, now)?,
            ConsentCommand::RotateSuppression => self.rotate_suppression(now)?,
        };
        self.commit(steps, None);
        Ok(contact.map_or_else(|| Answer::Done(Vec::new()), Answer::Contact))
    }

    fn rotate_suppression(&mut self, now: Now<'_>) -> Result<Vec<Step>> {
        let generation = self.shard.consents.generation();
        if generation + 1 >= GENERATIONS_MAX {
            let reason =
                format!("the list of those who opted out was rotated {generation} times, which is all it can be");
            return Err(Error::Conflict { code: "generations_used_up", reason, holder: None });
        }
        let next = Suppression::new(self.core, &self.shard.name, generation + 1);
        Ok(consent::rotate_suppression(self.shard, &|tag| next.wrap(tag), now))
    }

    fn suppression(&self) -> Suppression {
        Suppression::new(self.core, &self.shard.name, self.shard.consents.generation())
    }

    /// What the record's version before said, where anybody's coming back must be noticed.
    pub(super) fn said_before(&self, prepared: &Prepared) -> Option<Normalized> {
        if self.shard.consents.suppresses_nobody() {
            return None;
        }
        let slot = self.shard.slot_of_key(&prepared.record.key)?;
        self.shard.slot(slot)?.current.as_ref().map(|version| version.stored.put().normalized)
    }

    /// What to add to a record's steps so that somebody who opted out stays out.
    pub(super) fn still_out(
        &self,
        steps: &[Step],
        record: Option<RecordId>,
        before: Option<&Normalized>,
        now: Now<'_>,
    ) -> Option<Step> {
        if self.shard.consents.suppresses_nobody() {
            return None;
        }
        let put = steps.iter().find_map(|step| match step {
            Step::Put(version) if !version.stored.stale => Some(version),
            Step::Put(_) | Step::Event(_) => None,
        })?;
        let suppression = self.suppression();
        let tag = |email: bool, text: &str| suppression.tag(email, text);
        consent::still_out(self.shard, record?, before, &put.stored.put().normalized, &tag, now)
    }
}
