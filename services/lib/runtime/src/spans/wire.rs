//! Spans in OTLP's protobuf messages.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::{Kind, Record};
use crate::trace::Trace;

/// The body of an export request.
pub(super) fn request(resource: &[(String, String)], spans: Vec<Record>) -> Vec<u8> {
    let resource = Resource {
        attributes: resource.iter().map(|(name, value)| attribute(name, value.clone())).collect(),
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "autogpt".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: spans.into_iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

fn span(record: Record) -> Span {
    let kind = match record.about.kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
    };
    Span {
        trace_id: record.trace.trace_id().to_be_bytes().to_vec(),
        span_id: span_id(record.trace),
        parent_span_id: record.parent.map(span_id).unwrap_or_default(),
        flags: u32::from(record.trace.is_sampled()),
        name: record.about.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(record.began),
        end_time_unix_nano: nanoseconds(record.ended),
        attributes: record.about.attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
        status: record.error.map(|message| Status {
            message,
            code: StatusCode::Error.into(),
        }),
        ..Span::default()
    }
}

fn span_id(trace: Trace) -> Vec<u8> {
    trace.span_id().to_be_bytes().to_vec()
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn attribute(name: &str, value: String) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}
