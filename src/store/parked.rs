//! A tenant that nobody asks for: the chunks that a snapshot has of it, and where they are. Best they stay in the snapshot;
//! where no snapshot has its newest state they are kept in memory, compressed, which is less than a quarter of what it takes
//! when it answers, and only once it was put together again and was found to be the same.
//!
//! The shard that stands for it ([`Parked::head`]) has its name, number, seq and settings, and says which erasures wait for
//! files; all else of it is empty. Whoever reads or writes contacts puts the whole back first: see `engine::parking`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};

use crate::error::{Error, Result};
use crate::matching::model::Model;
use crate::model::ids::TenantId;
use crate::store::fingerprint::fingerprint;
use crate::store::shard::Shard;
use crate::store::state::{self, Pending, Piece};

/// Chunks of a tenant that lie elsewhere.
pub trait Chunks: std::fmt::Debug + Send + Sync {
    /// All of them, in their order.
    ///
    /// # Errors
    /// `Corrupt` when they are not what was written, `Io` from where they lie.
    fn read(&self) -> Result<Vec<Piece>>;
}

/// A tenant's state, put away.
#[derive(Debug)]
pub struct Parked {
    tenant: TenantId,
    /// What a tenant begins with that was never trained.
    model: Arc<Model>,
    place: ArcSwap<Place>,
}

/// Where the chunks are.
#[derive(Debug)]
enum Place {
    /// Here: kind and compressed bytes.
    Memory(Box<[(u8, Box<[u8]>)]>),
    Elsewhere(Arc<dyn Chunks>),
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
        let parked = Self::at(shard.tenant, model, Place::Memory(chunks.into_boxed_slice()));
        let again = parked.restored().ok()?;
        (fingerprint(&again) == fingerprint(shard)).then_some(parked)
    }

    /// A tenant whose chunks lie elsewhere.
    pub fn elsewhere(tenant: TenantId, model: &Arc<Model>, chunks: Arc<dyn Chunks>) -> Self {
        Self::at(tenant, model, Place::Elsewhere(chunks))
    }

    fn at(tenant: TenantId, model: &Arc<Model>, place: Place) -> Self {
        Self { tenant, model: Arc::clone(model), place: ArcSwap::from_pointee(place) }
    }

    /// The same chunks lie there from now on.
    pub fn move_to(&self, chunks: Arc<dyn Chunks>) {
        self.place.store(Arc::new(Place::Elsewhere(chunks)));
    }

    /// The shard that stands for the whole while it is parked. Of `whole` only what a head shows is looked at.
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

    /// The whole shard.
    ///
    /// # Errors
    /// `Corrupt` or `Io`: its chunks cannot be read, or are not what was put there.
    pub fn restored(&self) -> Result<Shard> {
        let mut pieces = self.pieces()?;
        let head = (!pieces.is_empty()).then(|| pieces.remove(0));
        let put_together = || {
            let (kind, head) = head?;
            let mut shard = state::begin(self.tenant, kind, &head, &self.model)?;
            let mut pending = Pending::of(&shard);
            state::take_in_all(&mut shard, pieces, &mut pending)?;
            pending.settle(&mut shard);
            Some(shard)
        };
        put_together().ok_or_else(|| self.damaged())
    }

    /// Kind and bytes of each chunk, as a snapshot has them.
    ///
    /// # Errors
    /// As [`Parked::restored`].
    pub fn pieces(&self) -> Result<Vec<Piece>> {
        match &**self.place.load() {
            Place::Memory(chunks) => {
                let plain = chunks.iter().map(|(kind, bytes)| {
                    let plain = decompress_size_prepended(bytes).map_err(|_| self.damaged())?;
                    Ok((*kind, plain))
                });
                plain.collect()
            }
            Place::Elsewhere(chunks) => chunks.read(),
        }
    }

    fn damaged(&self) -> Error {
        let reason = std::io::Error::new(std::io::ErrorKind::InvalidData, "it is damaged; restart the server");
        Error::io(format!("putting the state of tenant number {} together", self.tenant.0), reason)
    }

    /// What it takes in memory, in bytes.
    pub fn bytes(&self) -> usize {
        let chunks = match &**self.place.load() {
            Place::Memory(chunks) => {
                chunks.iter().map(|(_, bytes)| bytes.len() + size_of::<(u8, Box<[u8]>)>()).sum::<usize>()
            }
            Place::Elsewhere(chunks) => size_of_val(&**chunks),
        };
        size_of::<Self>() + size_of::<Place>() + chunks
    }
}
