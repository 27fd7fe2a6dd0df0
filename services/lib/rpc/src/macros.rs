//! One declaration per service.

/// Declares a service: trait, router function and client type.
///
/// ```text
/// rpc::service! {
///     /// What the service is for.
///     pub service Greeter => GreeterClient, router greeter_router, at Scheduler {
///         /// Marked `idempotent`: the client may repeat the call.
///         async fn greet(name: String, times: u32 = 1) -> String, idempotent;
///     }
/// }
/// ```
///
/// `at` names the [`runtime::Service`] at which the client looks for it. Arguments of type `Option<…>` may be absent;
/// other defaults are given as `name: Type = default`.
#[macro_export]
macro_rules! service {
    (
        $(#[$service_attribute:meta])*
        pub service $service:ident => $client:ident, router $router:ident, at $location:ident {
            $(
                $(#[$method_attribute:meta])*
                async fn $method:ident($($argument:ident: $argument_type:ty $(= $default:expr)?),* $(,)?) -> $answer:ty $(, $mode:ident)?;
            )*
        }
    ) => {
        $(#[$service_attribute])*
        #[$crate::private::async_trait]
        pub trait $service: Send + Sync + 'static {
            $(
                $(#[$method_attribute])*
                #[allow(clippy::too_many_arguments)]
                async fn $method(&self, $($argument: $argument_type),*) -> Result<$answer, $crate::RpcError>;
            )*
        }

        #[doc = concat!("Serves a [`", stringify!($service), "`]: every method, health checks, the error shapes and the token check of the contract.")]
        pub fn $router<S: $service + ?Sized>(
            service: $crate::private::Arc<S>,
            settings: &$crate::private::Settings,
            health: &$crate::private::Health,
        ) -> $crate::private::axum::Router {
            let mut server = $crate::private::Server::new(settings, health);
            $(
                let implementation = service.clone();
                server.method(stringify!($method), move |body: $crate::private::Bytes| {
                    let implementation = implementation.clone();
                    async move {
                        #[allow(unused_mut)]
                        let mut arguments = match $crate::private::Arguments::parse(&body, &[$(stringify!($argument)),*]) {
                            Ok(arguments) => arguments,
                            Err(refusal) => return refusal,
                        };
                        $(
                            let $argument: Option<$argument_type> =
                                arguments.take(stringify!($argument), || $crate::service!(@default $argument_type $(, $default)?));
                        )*
                        match (arguments.finish(), $($argument),*) {
                            (Ok(()), $(Some($argument)),*) => $crate::private::reply(implementation.$method($($argument),*).await),
                            (Err(refusal), ..) => refusal,
                            #[allow(unreachable_patterns)] // reachable only with arguments
                            (Ok(()), ..) => $crate::private::reply(Err::<(), _>($crate::RpcError::runtime("an argument was lost"))),
                        }
                    }
                });
            )*
            server.finish()
        }

        #[doc = concat!("Calls a [`", stringify!($service), "`] over HTTP.")]
        #[derive(Clone)]
        pub struct $client($crate::private::Client);

        impl $client {
            /// A client of the server that the settings name.
            pub fn new(settings: &$crate::private::Settings) -> Self {
                Self::at(settings.rpc.base_url($crate::private::Service::$location), settings)
            }

            /// A client of the server at `base_url`, such as `http://db:8005`.
            pub fn at(base_url: impl Into<String>, settings: &$crate::private::Settings) -> Self {
                Self($crate::private::Client::new(base_url.into(), settings))
            }

            /// The same client, but every call is tried once only.
            pub fn without_retries(self) -> Self {
                Self(self.0.without_retries())
            }

            /// Whether the server answers and calls itself healthy.
            pub async fn health_check(&self) -> Result<(), $crate::RpcError> {
                self.0.health_check().await
            }
        }

        #[$crate::private::async_trait]
        impl $service for $client {
            $(
                async fn $method(&self, $($argument: $argument_type),*) -> Result<$answer, $crate::RpcError> {
                    #[allow(unused_mut)]
                    let mut body = $crate::private::Body::new();
                    $(body.argument(stringify!($argument), &$argument)?;)*
                    self.0.call(stringify!($method), body, $crate::service!(@repeatable $($mode)?)).await
                }
            )*
        }
    };
    (@default $type:ty) => { $crate::private::absent::<$type>() };
    (@default $type:ty, $default:expr) => { Some($default) };
    (@repeatable) => { false };
    (@repeatable idempotent) => { true };
}
