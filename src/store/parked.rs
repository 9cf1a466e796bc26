//! A tenant that nobody asks for, as the bytes that a snapshot has of it, compressed: less than a quarter of what it takes when
//! it answers. It is taken apart only once it was put together again and was found to be the same.
//!
//! The shard that stands for it ([`Parked::head`]) has its name, number, seq and settings, and says which erasures wait for
//! files; all else of it is empty. Whoever reads or writes contacts puts the whole back first: see `engine::parking`.

use std::sync::Arc;

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};

use crate::matching::model::Model;
use crate::model::ids::TenantId;
use crate::store::fingerprint::fingerprint;
use crate::store::shard::Shard;
use crate::store::state::{self, Pending, Piece};

/// A shard's chunks, in their order.
#[derive(Debug)]
pub struct Parked {
    tenant: TenantId,
    /// What a tenant begins with that was never trained.
    model: Arc<Model>,
    /// Kind and compressed bytes.
    chunks: Box<[(u8, Box<[u8]>)]>,
}

impl Parked {
    /// Takes a shard apart. `model` is what one begins with that was never trained. `None`: what was put together again is
    /// not the same, so that it must stay whole.
    pub fn of(shard: &Shard, model: &Arc<Model>) -> Option<Self> {
        let mut chunks = Vec::new();
        let Ok(()) = state::write_bare(shard, &mut |kind, bytes| {
            chunks.push((kind, compress_prepend_size(bytes).into_boxed_slice()));
            Ok::<_, std::convert::Infallible>(())
        });
        let parked = Self { tenant: shard.tenant, model: Arc::clone(model), chunks: chunks.into_boxed_slice() };
        let again = parked.restored()?;
        (fingerprint(&again) == fingerprint(shard)).then_some(parked)
    }

    /// The shard that stands for the whole while it is parked.
    pub fn head(self, whole: &Shard) -> Shard {
        let mut head = Shard::new(whole.tenant, &whole.name, Arc::clone(&self.model));
        head.name = Arc::clone(&whole.name);
        head.settings = Arc::clone(&whole.settings);
        head.seq = whole.seq;
        head.erasures = whole.erasures.clone();
        (head.contacts_live, head.records_live, head.reviews_open) =
            (whole.contacts_live, whole.records_live, whole.reviews_open);
        head.parked = Some(Arc::new(self));
        head
    }

    /// The whole shard. `None`: the bytes are not what was put there, which only a fault of the machine can do.
    pub fn restored(&self) -> Option<Shard> {
        let mut pieces = self.chunks().map(|(kind, bytes)| Some((kind, bytes?))).collect::<Option<Vec<Piece>>>()?;
        let (kind, head) = (!pieces.is_empty()).then(|| pieces.remove(0))?;
        let mut shard = state::begin(self.tenant, kind, &head, &self.model)?;
        let mut pending = Pending::of(&shard);
        state::take_in_all(&mut shard, pieces, &mut pending)?;
        pending.settle(&mut shard);
        Some(shard)
    }

    /// Kind and bytes of each chunk, as a snapshot has them; `None` as in [`Parked::restored`].
    pub fn chunks(&self) -> impl Iterator<Item = (u8, Option<Vec<u8>>)> {
        self.chunks.iter().map(|(kind, bytes)| (*kind, decompress_size_prepended(bytes).ok()))
    }

    /// What it takes in memory, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.chunks.iter().map(|(_, bytes)| bytes.len() + size_of::<(u8, Box<[u8]>)>()).sum::<usize>()
    }
}
