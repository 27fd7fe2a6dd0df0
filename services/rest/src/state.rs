//! What handlers may ask for. Each takes only the parts that it needs, by `State<Part>`.

use std::ops::Deref;
use std::sync::Arc;

use auth::Verifier;
use auth::unsubscribe::Unsubscriber;
use axum::extract::FromRef;
use blocks::{BlockCatalog, BlockKind, Outside, Registry};
use rpc::services::Scheduler;
use runtime::Settings;
use store::{IoBlocks, Store};
use submit::Submitter;
use vault::Credentials;

use crate::assistant::Assistant;
use crate::events::Announcer;
use crate::handlers::auth::Mails;
use crate::handlers::builder::Menu;
use crate::handlers::external::BlocksWithoutPrices;
use crate::handlers::onboarding::Offer;
use crate::keys::KeyRing;
use crate::live::Live;
use crate::oauth::OAuth;
use crate::partner::Partner;
use crate::stop::Stopper;
use crate::users::Users;
use crate::wire::Prepared;

/// Everything the service consists of. A request clones it once for each layer that it goes through.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

impl Deref for AppState {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The parts, each of which a handler may ask for.
macro_rules! parts {
    ($($(#[$about:meta])* $name:ident: $part:ty,)*) => {
        pub struct Parts {
            $($(#[$about])* pub $name: $part,)*
        }

        $(impl FromRef<AppState> for $part {
            fn from_ref(state: &AppState) -> Self {
                state.$name.clone()
            }
        })*
    };
}

parts! {
    settings: Settings,
    verifier: Arc<Verifier>,
    store: Store,
    users: Users,
    registry: Arc<Registry>,
    /// The answer to `GET /api/blocks`.
    block_list: Arc<Prepared>,
    external_block_list: Arc<BlocksWithoutPrices>,
    menu: Arc<Menu>,
    offer: Offer,
    io_blocks: Arc<IoBlocks>,
    outside: Outside,
    /// None when no model is configured for it.
    assistant: Option<Assistant>,
    submitter: Submitter,
    scheduler: Arc<dyn Scheduler>,
    stopper: Stopper,
    announcer: Announcer,
    live: Live,
    /// None when people log in elsewhere.
    mails: Option<Mails>,
    credentials: Credentials,
    partner: Partner,
    oauth: OAuth,
    keys: KeyRing,
    /// None when mails have no links that it could recognise.
    unsubscriber: Option<Unsubscriber>,
}

/// Both directions of live events, and mails about accounts.
pub struct Heralds {
    pub announcer: Announcer,
    pub live: Live,
    pub mails: Option<Mails>,
}

impl AppState {
    pub fn new(
        settings: Settings,
        verifier: Arc<Verifier>,
        store: Store,
        registry: Arc<Registry>,
        scheduler: Arc<dyn Scheduler>,
        heralds: Heralds,
        credentials: Credentials,
    ) -> std::io::Result<Self> {
        let catalog: Arc<dyn BlockCatalog> = registry.clone();
        let outside = Outside::new(&settings).map_err(std::io::Error::other)?;
        let partner = Partner::new().map_err(std::io::Error::other)?;
        Ok(Self(Arc::new(Parts {
            verifier,
            unsubscriber: Unsubscriber::from_settings(&settings),
            users: Users::new(store.clone()),
            offer: Offer::new(store.clone()),
            keys: KeyRing::new(store.clone(), settings.auth.encryption_key.expose()),
            block_list: Arc::new(Prepared::new(&registry.api_list())?),
            external_block_list: Arc::new(BlocksWithoutPrices::new(registry.api_list())?),
            menu: Arc::new(Menu::of(&registry)),
            io_blocks: Arc::new(io_blocks(&registry)),
            assistant: Assistant::new(&settings, outside.clone()),
            oauth: OAuth::new(&settings, store.clone(), credentials.clone(), partner.clone()),
            partner,
            outside,
            submitter: Submitter::new(store.clone(), catalog)
                .with_run_deadline(settings.executor.run_deadline())
                .with_public_url(&crate::public_url(&settings)),
            stopper: Stopper::new(store.clone(), scheduler.clone()),
            settings,
            store,
            registry,
            scheduler,
            announcer: heralds.announcer,
            live: heralds.live,
            mails: heralds.mails,
            credentials,
        })))
    }
}

/// The blocks that carry a run's inputs and outputs.
fn io_blocks(registry: &Registry) -> IoBlocks {
    let of_kind = |kinds: &[BlockKind]| {
        let descriptors = registry.iter().map(blocks::Block::descriptor);
        descriptors
            .filter(|descriptor| kinds.contains(&descriptor.kind))
            .map(|descriptor| descriptor.id)
            .collect()
    };
    IoBlocks {
        input: of_kind(&[BlockKind::Input]),
        output: of_kind(&[BlockKind::Output]),
        webhook: of_kind(&[BlockKind::Webhook, BlockKind::WebhookManual]),
    }
}
