//! Loading what is loaded on first use, before anybody waits for it.
//!
//! Phone metadata, the name tables, nicknames, the list of public suffixes and the patterns around them are read
//! lazily, together 0.1 to 0.25 seconds. That is the first caller's time unless somebody else was first: a thread that
//! runs beside recovery, and that opening waits for, so that *ready* means ready to answer fast.

use std::sync::Once;
use std::thread::JoinHandle;

use crate::engine::recover::spawn;
use crate::error::Result;
use crate::formats::InputRecord;
use crate::matching::model::Model;
use crate::model::account::Business;
use crate::model::ids::{Millis, RecordId, Seq};
use crate::model::record::{Address, Email, Fields, Phone};
use crate::model::settings::Settings;
use crate::normalize::{Normalizer, Rules};
use crate::resolve::prepare::prepare;
use crate::store::shard::Version;

/// Starts the thread.
pub(crate) fn start() -> Result<JoinHandle<()>> {
    static FIRST: Once = Once::new();
    spawn("warm-up", || FIRST.call_once(everything))
}

/// Prepares one record that has a bit of everything.
fn everything() {
    let normalizer = std::sync::Arc::new(Normalizer::new(Rules::from_settings(&Settings::default())));
    let text = |text: &str| Some(text.to_owned());
    let phone = |value: &str| Phone { value: value.to_owned(), ..Phone::default() };
    let fields = Fields {
        name: text("Dr. Robert J. Smith-Jones Jr."),
        emails: vec![Email { value: "Robert.Smith@mail.example.co.uk".into(), ..Email::default() }],
        phones: vec![phone("(212) 555-0123"), phone("+44 20 7946 0000 ext. 5")],
        organization: text("Example Incorporated"),
        job_title: text("CTO"),
        birthday: text("3 February 1980"),
        addresses: vec![Address { street: text("1 Main St"), city: text("Z\u{fc}rich"), ..Address::default() }],
        ..Fields::default()
    };
    let source_record_id = text("1");
    let input =
        InputRecord { source: "warm-up".into(), source_record_id, source_updated_at: None, version: None, fields };
    let put = prepare(input, &normalizer, &[0; 32]).put(RecordId(0), Millis(0), "", false);
    // A business' name needs tables of its own.
    let business = Business { names: vec!["example widgets".to_owned()], ..Business::default() };
    drop(Version::of_account(&put, business, Seq(1), &Model::default_model()));
    drop(Version::new(&put, Seq(1), &Model::default_model()));
}
