//! From the catalogue into a library.

use model::UserId;
use model::library::LibraryAgent;
use uuid::Uuid;

use crate::{SubmitError, Submitter};

impl Submitter {
    /// Puts what the catalogue offers into the user's library; what is there already stays as it is. None when nothing of this id is offered.
    pub async fn add_offer(&self, user_id: UserId, store_listing_version_id: Uuid) -> Result<Option<LibraryAgent>, SubmitError> {
        let Some(offer) = self.store.find_offer(store_listing_version_id).await? else {
            return Ok(None);
        };
        let Some(graph) = self.get_graph(user_id, offer.graph_id, Some(offer.graph_version)).await? else {
            return Ok(None);
        };
        let entry = self.store.add_offered_graph(user_id, &graph).await?;
        Ok(self.store.get_library_agent(user_id, entry).await?)
    }
}
