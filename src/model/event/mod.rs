//! Events: the facts in the journal.
