//! What an import needs to know of the records that it reads: people's or businesses'.

use crate::engine::accounts::{AccountCommand, AccountRecord};
use crate::engine::api::{Command, Mode, UpsertResult};
use crate::engine::rehearse::Rehearsal;
use crate::formats::InputRecord;
use crate::model::ids::EntityId;

/// A record that can be imported.
pub trait Importable: Clone + Send + Sync {
    /// What records of this kind are about.
    const ENTITY: &'static str;
    /// The column of the report that names it.
    const ID_COLUMN: &'static str;

    /// The command that puts such records.
    fn upsert(records: Vec<Self>) -> Command;

    /// Decides records in order in a rehearsal, and goes on from there.
    fn rehearse(rehearsal: &mut Rehearsal, records: &[Self], actor: &str) -> Vec<UpsertResult>;

    /// Whether a contact or account exists outside of the rehearsal.
    fn exists(rehearsal: &Rehearsal, id: EntityId) -> bool;
}

impl Importable for InputRecord {
    const ENTITY: &'static str = "contacts";
    const ID_COLUMN: &'static str = "contact_id";

    fn upsert(records: Vec<Self>) -> Command {
        Command::Upsert { records, mode: Mode::Merge, dry_run: false }
    }

    fn rehearse(rehearsal: &mut Rehearsal, records: &[Self], actor: &str) -> Vec<UpsertResult> {
        rehearsal.upsert(records, actor)
    }

    fn exists(rehearsal: &Rehearsal, id: EntityId) -> bool {
        rehearsal.exists(id)
    }
}

impl Importable for AccountRecord {
    const ENTITY: &'static str = "accounts";
    const ID_COLUMN: &'static str = "account_id";

    fn upsert(records: Vec<Self>) -> Command {
        Command::Account(AccountCommand::Upsert { records, mode: Mode::Merge, dry_run: false })
    }

    fn rehearse(rehearsal: &mut Rehearsal, records: &[Self], actor: &str) -> Vec<UpsertResult> {
        rehearsal.upsert_accounts(records, actor)
    }

    fn exists(rehearsal: &Rehearsal, id: EntityId) -> bool {
        rehearsal.account_exists(id)
    }
}
