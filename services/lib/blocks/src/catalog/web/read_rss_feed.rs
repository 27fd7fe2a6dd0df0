//! New entries of a feed.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use engine::block::Effects;
use engine::types::PinType;
use feed_rs::model::Entry;
use outside::{Web, WebRequest, read_url};
use serde_json::{Value, json};
use uuid::uuid;

use crate::acting::{Acted, Acting};
use crate::block::BlockContext;
use crate::describe::{Describe, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

/// Bytes of a feed.
const MAX_FEED: usize = 10 << 20;

pub(crate) fn block() -> Acting {
    let text = || json!({ "type": "string" });
    let entry = || {
        json!({
            "type": "object",
            "properties": {
                "title": text(), "link": text(), "description": text(), "pub_date": { "type": "string", "format": "date-time" },
                "author": text(), "categories": { "type": "array", "items": { "type": "string" } },
            },
            "required": ["title", "link", "description", "pub_date", "author", "categories"],
        })
    };
    let descriptor = Describe::new(
        uuid!("5ebe6768-8e5d-41e3-9134-1c7bd89a8d52"),
        "ReadRSSFeedBlock",
        "Gives the new entries of an RSS or Atom feed, once or again and again.",
    )
    .categories(&["INPUT"])
    .effects(Effects::Idempotent)
    .input(
        required("rss_url", PinType::Str)
            .about("The address of the feed.")
            .placeholder("https://example.com/rss"),
    )
    .input(optional("time_period", PinType::Int, json!(1440)).about("How many minutes back an entry may be."))
    .input(required("polling_rate", PinType::Int).about("Seconds between two looks."))
    .input(optional("run_continuously", PinType::Bool, json!(true)).about("Whether to look again and again."))
    .output(output("entry", PinType::Opaque).schema(entry()).about("One entry."))
    .output(
        output("entries", PinType::Opaque)
            .schema(json!({ "type": "array", "items": entry() }))
            .about("All entries of one look."),
    );
    Acting::new(descriptor.build(), run)
}

fn run<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let address = input.text("rss_url");
        let minutes = TimeDelta::try_minutes(input.integer("time_period")).unwrap_or(TimeDelta::MAX);
        let since = Utc::now().checked_sub_signed(minutes);
        let pause = Duration::from_secs(u64::try_from(input.integer("polling_rate")).unwrap_or_default());
        loop {
            let mut entries = Vec::new();
            for entry in fetch(context.outside.web(), &address).await {
                let Some(published) = entry.published.or(entry.updated) else { continue };
                if since.is_none_or(|since| published > since) {
                    let entry = shown(entry, &published.to_rfc3339());
                    out.emit("entry", entry.clone()).await?;
                    entries.push(entry);
                }
            }
            out.emit("entries", entries).await?;
            tokio::time::sleep(pause).await;
            if !input.flag("run_continuously") {
                return Ok(());
            }
            // A polling rate of zero must leave the others a turn.
            tokio::task::yield_now().await;
        }
    })
}

/// The entries of the feed; none when it cannot be had (finding 29).
async fn fetch(web: &Web, address: &str) -> Vec<Entry> {
    let Ok(url) = read_url(address) else { return Vec::new() };
    match web.send(WebRequest::get(url)).await {
        Ok(reply) if reply.body.len() <= MAX_FEED => feed_rs::parser::parse(reply.body.as_ref()).map(|feed| feed.entries).unwrap_or_default(),
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::debug!(%error, "a feed cannot be had");
            Vec::new()
        }
    }
}

fn shown(entry: Entry, published: &str) -> Value {
    json!({
        "title": entry.title.map(|text| text.content).unwrap_or_default(),
        "link": entry.links.into_iter().next().map(|link| link.href).unwrap_or_default(),
        "description": entry.summary.map(|text| text.content).unwrap_or_default(),
        "pub_date": published,
        "author": entry.authors.into_iter().find_map(|person| person.name).unwrap_or_default(),
        "categories": entry.categories.into_iter().map(|category| category.term).collect::<Vec<String>>(),
    })
}
