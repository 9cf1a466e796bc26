//! Moving values between domain types and their frozen twins, field by field.
//!
//! `Into` cannot be used for this: a blanket `Vec<T> -> Vec<U>` would collide with the standard one.

use crate::model::event::consent::Findable;
use crate::model::event::learned::TrainingEnd;
use crate::model::event::lookup::DiscoveryKey;
use crate::model::ids::{
    DeliveryId, EntityId, EraseId, JudgementId, MergeId, Millis, ModelId, RecordId, ReviewId, Seq, WebhookId,
};
use crate::model::key::Millibits;
use crate::model::normalized::PhoneKind;
use crate::model::survivorship::Rule;

/// A lossless move from one shape to another.
pub trait Convert<T> {
    /// Moves the value.
    fn convert(self) -> T;
}

macro_rules! same {
    ($($t:ty),+) => { $(impl Convert<$t> for $t { fn convert(self) -> $t { self } })+ };
}
same!(String, bool, u8, u16, u32, u64, i64, u128, f32, f64, [u8; 32], (String, String));

macro_rules! newtype {
    ($($t:ident $raw:ty),+) => { $(
        impl Convert<$raw> for $t { fn convert(self) -> $raw { self.0 } }
        impl Convert<$t> for $raw { fn convert(self) -> $t { $t(self) } }
    )+ };
}
newtype!(
    EntityId u128, RecordId u128, MergeId u128, ReviewId u128, JudgementId u128, ModelId u128, Seq u64, Millis i64,
    Millibits i32, WebhookId u128, DeliveryId u128, EraseId u128
);

impl Convert<u32> for char {
    fn convert(self) -> u32 {
        u32::from(self)
    }
}

impl Convert<char> for u32 {
    fn convert(self) -> char {
        char::from_u32(self).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

impl Convert<u8> for PhoneKind {
    fn convert(self) -> u8 {
        match self {
            PhoneKind::Unknown => 0,
            PhoneKind::Fixed => 1,
            PhoneKind::Mobile => 2,
            PhoneKind::FixedOrMobile => 3,
            PhoneKind::Service => 4,
            PhoneKind::Voip => 5,
        }
    }
}

impl Convert<PhoneKind> for u8 {
    fn convert(self) -> PhoneKind {
        match self {
            1 => PhoneKind::Fixed,
            2 => PhoneKind::Mobile,
            3 => PhoneKind::FixedOrMobile,
            4 => PhoneKind::Service,
            5 => PhoneKind::Voip,
            _ => PhoneKind::Unknown,
        }
    }
}

impl Convert<u8> for Findable {
    fn convert(self) -> u8 {
        self as u8
    }
}

impl Convert<Findable> for u8 {
    fn convert(self) -> Findable {
        Findable::from_number(self)
    }
}

impl Convert<u8> for TrainingEnd {
    fn convert(self) -> u8 {
        match self {
            TrainingEnd::Ready => 0,
            TrainingEnd::Refused => 1,
            TrainingEnd::Failed => 2,
        }
    }
}

impl Convert<u8> for DiscoveryKey {
    fn convert(self) -> u8 {
        self as u8
    }
}

impl Convert<DiscoveryKey> for u8 {
    fn convert(self) -> DiscoveryKey {
        DiscoveryKey::from_number(self)
    }
}

impl Convert<TrainingEnd> for u8 {
    fn convert(self) -> TrainingEnd {
        match self {
            0 => TrainingEnd::Ready,
            1 => TrainingEnd::Refused,
            _ => TrainingEnd::Failed,
        }
    }
}

impl Convert<(String, u8)> for (String, Rule) {
    fn convert(self) -> (String, u8) {
        (self.0, self.1 as u8)
    }
}

impl Convert<(String, Rule)> for (String, u8) {
    fn convert(self) -> (String, Rule) {
        (self.0, Rule::from_number(self.1))
    }
}

impl Convert<(u128, u128)> for (RecordId, RecordId) {
    fn convert(self) -> (u128, u128) {
        (self.0.0, self.1.0)
    }
}

impl Convert<(RecordId, RecordId)> for (u128, u128) {
    fn convert(self) -> (RecordId, RecordId) {
        (RecordId(self.0), RecordId(self.1))
    }
}

impl<T: Convert<U>, U> Convert<Option<U>> for Option<T> {
    fn convert(self) -> Option<U> {
        self.map(Convert::convert)
    }
}

impl<T: Convert<U>, U> Convert<Vec<U>> for Vec<T> {
    fn convert(self) -> Vec<U> {
        self.into_iter().map(Convert::convert).collect()
    }
}
