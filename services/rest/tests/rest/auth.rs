//! The embedded auth service, as the frontend's client uses it (rest.md §3.4).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::app::{Answer, NO_DATABASE, TestApp, text};

const PASSWORD: &str = "correct horse battery";

fn address() -> String {
    format!("{}@example.test", Uuid::new_v4())
}

impl TestApp {
    async fn auth(&self, path: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, &format!("/auth/v1{path}"));
        request
            .header("apikey", "anon")
            .header("X-Supabase-Api-Version", "2024-01-01")
            .json(&body)
            .send()
            .await
    }

    async fn with_token(&self, method: Method, path: &str, token: &str, body: Value) -> Answer {
        let request = self.request(method, path).header("authorization", &format!("Bearer {token}"));
        request.json(&body).send().await
    }

    /// A session of a new account.
    async fn sign_up(&self, email: &str) -> Value {
        let answer = self
            .auth(
                "/signup",
                json!({"email": email, "password": PASSWORD, "data": {"name": "Ada"}, "gotrue_meta_security": {}}),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    async fn log_in(&self, email: &str, password: &str) -> Answer {
        self.auth(
            "/token?grant_type=password",
            json!({"email": email, "password": password, "gotrue_meta_security": {}}),
        )
        .await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.auth("/token?grant_type=refresh_token", json!({ "refresh_token": token })).await
    }

    async fn who(&self, token: &str) -> Answer {
        self.with_token(Method::GET, "/auth/v1/user", token, Value::Null).await
    }
}

fn refusal(answer: &Answer) -> (u16, Value, Value) {
    (answer.status.as_u16(), answer.body["code"].clone(), answer.body["error_code"].clone())
}

fn refused(status: u16, code: &str) -> (u16, Value, Value) {
    (status, json!(status), json!(code))
}

#[tokio::test]
async fn who_signs_up_is_logged_in_and_is_a_user_with_a_profile() {
    let app = TestApp::start().await;
    let email = address();
    let session = app.sign_up(&format!(" {} ", email.to_uppercase())).await;
    assert_eq!(session["token_type"], "bearer");
    assert_eq!(session["expires_in"], 3600);
    assert!(session["expires_at"].is_i64());
    let user = &session["user"];
    assert_eq!(
        (user["email"].as_str(), user["aud"].as_str()),
        (Some(email.as_str()), Some("authenticated"))
    );
    assert_eq!(user["role"], "authenticated");
    assert_eq!(user["user_metadata"]["name"], "Ada");
    assert_eq!(user["app_metadata"]["provider"], "email");
    assert!(user["email_confirmed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(user["identities"][0]["provider"], "email");

    let token = text(&session, "access_token");
    let shown = app.who(token).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!(shown.body["id"], user["id"]);
    let id: Uuid = text(user, "id").parse().unwrap();
    let row = app.store.get_user(id).await.unwrap().unwrap();
    assert_eq!((row.email, row.name.as_deref()), (email, Some("Ada")));
    // The token is good for the platform.
    let answer = app.with_token(Method::POST, "/api/auth/user", token, json!({})).await;
    assert_eq!((answer.status.as_u16(), &answer.body["id"]), (200, &user["id"]));
}

#[tokio::test]
async fn signing_up_is_refused_with_a_reason() {
    let app = TestApp::start().await;
    let email = address();
    app.sign_up(&email).await;
    let again = app.auth("/signup", json!({"email": email, "password": "another password"})).await;
    assert_eq!(refusal(&again), refused(422, "user_already_exists"));
    let cases = [
        (json!({"email": address(), "password": "short"}), 422, "weak_password"),
        (json!({"email": address(), "password": "x".repeat(200)}), 422, "validation_failed"),
        (json!({"email": address()}), 422, "validation_failed"),
        (json!({"email": "no address", "password": PASSWORD}), 400, "validation_failed"),
        (json!({"email": 1, "password": PASSWORD}), 400, "validation_failed"),
        (json!({"password": PASSWORD}), 422, "anonymous_provider_disabled"),
        (json!({"email": address(), "password": PASSWORD, "data": []}), 400, "validation_failed"),
        (json!([]), 400, "bad_json"),
    ];
    for (body, status, code) in cases {
        assert_eq!(refusal(&app.auth("/signup", body.clone()).await), refused(status, code), "{body}");
    }
    // The client makes another error of this one, with the reasons.
    let weak = app.auth("/signup", json!({"email": address(), "password": "short"})).await;
    assert_eq!(weak.body["weak_password"]["reasons"], json!(["length"]));
    let answer = app.request(Method::POST, "/auth/v1/signup").raw("{").send().await;
    assert_eq!(refusal(&answer), refused(400, "bad_json"));
    let answer = app.request(Method::POST, "/auth/v1/signup").raw(vec![b' '; 70_000]).send().await;
    assert_eq!(refusal(&answer), refused(400, "bad_json"));
}

#[tokio::test]
async fn a_flood_of_sign_ups_keeps_nobody_from_logging_in() {
    let app = Arc::new(TestApp::start().await);
    let email = address();
    app.sign_up(&email).await;
    let mut sign_ups = JoinSet::new();
    let sign_up = |app: Arc<TestApp>| async move {
        let body = json!({"email": address(), "password": PASSWORD});
        app.auth("/signup", body).await.status.as_u16()
    };
    for _ in 0..60 {
        sign_ups.spawn(sign_up(app.clone()));
    }
    assert_eq!(app.log_in(&email, PASSWORD).await.status, 200);
    while let Some(status) = sign_ups.try_join_next() {
        assert_eq!(status.unwrap(), 200, "as many as somebody's tests may make at once");
    }
    for _ in 0..200 {
        sign_ups.spawn(sign_up(app.clone()));
    }
    while sign_ups.join_next().await.unwrap().unwrap() != 429 {}
    let answer = app.log_in(&email, PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    sign_ups.shutdown().await;
}

#[tokio::test]
async fn an_address_of_somebody_with_a_foreign_token_is_not_given_away() {
    let app = TestApp::start().await;
    let user = crate::app::TestUser::new();
    app.post(&user, "/api/auth/user", json!({})).await;
    let answer = app.auth("/signup", json!({"email": user.email, "password": PASSWORD})).await;
    assert_eq!(refusal(&answer), refused(422, "user_already_exists"));
    // The auth service knows who that is, though nobody can log in as them here.
    let shown = app.who(&user.token).await;
    assert_eq!((shown.status.as_u16(), &shown.body["email"]), (200, &json!(user.email)));
    let changed = app
        .with_token(Method::PUT, "/auth/v1/user", &user.token, json!({"password": PASSWORD}))
        .await;
    assert_eq!(changed.status, 422, "{}", changed.text);
}

#[tokio::test]
async fn only_the_right_password_logs_in_and_guessing_is_limited() {
    let app = TestApp::start().await;
    let email = address();
    app.sign_up(&email).await;
    assert_eq!(app.log_in(&email.to_uppercase(), PASSWORD).await.status, 200);
    assert_eq!(refusal(&app.log_in(&address(), PASSWORD).await), refused(400, "invalid_credentials"));
    for _ in 0..10 {
        assert_eq!(refusal(&app.log_in(&email, "wrong").await), refused(400, "invalid_credentials"));
    }
    let limited = refused(429, "over_request_rate_limit");
    assert_eq!(refusal(&app.log_in(&email, "wrong").await), limited);
    assert_eq!(refusal(&app.log_in(&email, PASSWORD).await), limited, "not even with the right one");
    let other = address();
    app.sign_up(&other).await;
    assert_eq!(app.log_in(&other, PASSWORD).await.status, 200, "others are not concerned");
    let answer = app.auth("/token?grant_type=magic", json!({})).await;
    assert_eq!(refusal(&answer), refused(400, "unsupported_grant_type"));
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_theft_ends_the_session() {
    let app = TestApp::start().await;
    let email = address();
    let session = app.sign_up(&email).await;
    let first = text(&session, "refresh_token").to_owned();
    let renewed = app.refresh(&first).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text);
    assert_eq!(renewed.body["user"]["id"], session["user"]["id"]);
    let second = text(&renewed.body, "refresh_token").to_owned();
    assert_ne!(first, second);
    // Pages that load at the same time refresh at the same time.
    assert_eq!(app.refresh(&first).await.status, 200);

    app.age_refresh_tokens(&first).await;
    assert_eq!(refusal(&app.refresh(&first).await), refused(400, "refresh_token_already_used"));
    assert_eq!(
        refusal(&app.refresh(&second).await),
        refused(400, "refresh_token_not_found"),
        "the family is gone"
    );
    assert_eq!(
        refusal(&app.who(text(&renewed.body, "access_token")).await),
        refused(403, "session_not_found")
    );
    for unknown in ["", "x", &second] {
        assert_eq!(refusal(&app.refresh(unknown).await), refused(400, "refresh_token_not_found"));
    }
}

impl TestApp {
    /// Moves the use of a refresh token a minute into the past.
    async fn age_refresh_tokens(&self, token: &str) {
        let mut connection = PgConnection::connect(&self.database).await.unwrap();
        let aged = sqlx::query("UPDATE auth_refresh_tokens SET used_at = used_at - interval '1 minute' WHERE hash = $1")
            .bind(Sha256::digest(token.as_bytes()).to_vec())
            .execute(&mut connection)
            .await;
        assert_eq!(aged.unwrap().rows_affected(), 1);
    }

    /// The one message that waits for the notification service, or is on its way there.
    async fn queued_mail(&self) -> Value {
        for _ in 0..100 {
            let mails = self.queued_mails().await;
            if let Some(mail) = mails.first() {
                assert_eq!(mails.len(), 1, "{mails:?}");
                return mail.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("no mail came");
    }

    async fn queued_mails(&self) -> Vec<Value> {
        let vhost = self.vhost.as_deref().unwrap();
        let list = devservices::testing::management(Method::GET, &format!("/api/queues/{vhost}"), String::new()).await;
        // The first mail declares it.
        if !list.contains("\"immediate_notifications\"") {
            return Vec::new();
        }
        let path = format!("/api/queues/{vhost}/immediate_notifications/get");
        let ask = json!({"count": 10, "ackmode": "ack_requeue_false", "encoding": "auto"}).to_string();
        let messages: Vec<Value> = serde_json::from_str(&devservices::testing::management(Method::POST, &path, ask).await).unwrap();
        messages
            .iter()
            .map(|message| serde_json::from_str(text(message, "payload")).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn logging_out_ends_this_session_the_others_or_all() {
    let app = TestApp::start().await;
    let email = address();
    app.sign_up(&email).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(text(&app.log_in(&email, PASSWORD).await.body, "access_token").to_owned());
    }
    let log_out = async |token: &str, scope: &str| {
        app.with_token(Method::POST, &format!("/auth/v1/logout?scope={scope}"), token, Value::Null)
            .await
            .status
    };
    let alive = async |token: &str| app.who(token).await.status == 200;
    assert_eq!(log_out(&sessions[0], "local").await, 204);
    assert!(!alive(&sessions[0]).await && alive(&sessions[1]).await && alive(&sessions[2]).await);
    assert_eq!(log_out(&sessions[1], "others").await, 204);
    assert!(alive(&sessions[1]).await && !alive(&sessions[2]).await);
    assert_eq!(log_out(&sessions[1], "everywhere").await, 400);
    assert_eq!(log_out(&sessions[1], "global").await, 204);
    assert!(!alive(&sessions[1]).await);
    assert_eq!(app.auth("/logout", Value::Null).await.status, 401);
}

#[tokio::test]
async fn sessions_that_nobody_ended_do_not_pile_up() {
    let app = TestApp::start().await;
    let email = address();
    let session = app.sign_up(&email).await;
    let mut connection = PgConnection::connect(&app.database).await.unwrap();
    sqlx::query(
        "INSERT INTO auth_sessions (id, user_id, updated_at) SELECT gen_random_uuid(), $1, now() - interval '1 day' FROM generate_series(1, 150)",
    )
    .bind(text(&session["user"], "id").parse::<Uuid>().unwrap())
    .execute(&mut connection)
    .await
    .unwrap();
    let next = app.log_in(&email, PASSWORD).await.body;
    let sessions: i64 = sqlx::query_scalar("SELECT count(*) FROM auth_sessions")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(sessions, 100);
    for token in [text(&session, "access_token"), text(&next, "access_token")] {
        assert_eq!(app.who(token).await.status, 200, "the sessions in use stay");
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_refused() {
    let app = TestApp::start().await;
    let answer = app.request(Method::GET, "/auth/v1/user").send().await;
    assert_eq!(refusal(&answer), refused(401, "no_authorization"));
    assert_eq!(refusal(&app.who("nonsense").await), refused(403, "bad_jwt"));
    let nobody = crate::app::TestUser::new();
    assert_eq!(refusal(&app.who(&nobody.token).await), refused(403, "user_not_found"));
}

#[tokio::test]
async fn a_user_changes_password_address_and_data() {
    let app = TestApp::start().await;
    let email = address();
    app.sign_up(&email).await;
    let mine = app.log_in(&email, PASSWORD).await.body;
    let elsewhere = app.log_in(&email, PASSWORD).await.body;
    let token = text(&mine, "access_token");
    let change = async |body: Value| app.with_token(Method::PUT, "/auth/v1/user", token, body).await;

    assert_eq!(refusal(&change(json!({"password": PASSWORD})).await), refused(422, "same_password"));
    assert_eq!(change(json!({"password": "an entirely new one"})).await.status, 200);
    assert_eq!(app.who(token).await.status, 200, "this session goes on");
    assert_eq!(app.who(text(&elsewhere, "access_token")).await.status, 403, "the others do not");
    assert_eq!(app.log_in(&email, PASSWORD).await.status, 400);
    assert_eq!(app.log_in(&email, "an entirely new one").await.status, 200);

    let answer = change(json!({"data": {"name": null, "theme": "dark"}})).await;
    assert_eq!(answer.body["user_metadata"]["theme"], "dark");
    assert!(answer.body["user_metadata"].get("name").is_none());

    let (other, next) = (address(), address());
    app.sign_up(&other).await;
    assert_eq!(refusal(&change(json!({ "email": other })).await), refused(422, "email_exists"));
    assert_eq!(change(json!({ "email": next })).await.body["email"], json!(next));
    assert_eq!(app.log_in(&next, "an entirely new one").await.status, 200);
    assert_eq!(app.log_in(&email, "an entirely new one").await.status, 400);
    let row = app.store.get_user(text(&mine["user"], "id").parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(row.email, next);
}

#[tokio::test]
async fn a_change_that_is_refused_changes_nothing() {
    let app = TestApp::start().await;
    let (email, other) = (address(), address());
    app.sign_up(&email).await;
    app.sign_up(&other).await;
    let mine = app.log_in(&email, PASSWORD).await.body;
    let elsewhere = app.log_in(&email, PASSWORD).await.body;
    let all = json!({"email": other, "password": "an entirely new one", "data": {"theme": "dark"}});
    let token = text(&mine, "access_token");
    let answer = app.with_token(Method::PUT, "/auth/v1/user", token, all).await;
    assert_eq!(refusal(&answer), refused(422, "email_exists"));
    let shown = app.who(text(&elsewhere, "access_token")).await;
    assert_eq!((shown.status.as_u16(), &shown.body["email"]), (200, &json!(email)), "the session goes on");
    assert_eq!(shown.body["user_metadata"].get("theme"), None);
    assert_eq!(app.log_in(&email, "an entirely new one").await.status, 400);
    assert_eq!(app.log_in(&email, PASSWORD).await.status, 200);

    let all = json!({"email": address(), "password": "an entirely new one", "data": {"theme": "dark"}});
    let answer = app.with_token(Method::PUT, "/auth/v1/user", token, all.clone()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["email"], &answer.body["user_metadata"]["theme"]),
        (200, &all["email"], &json!("dark"))
    );
    assert_eq!(app.log_in(text(&all, "email"), "an entirely new one").await.status, 200);
}

/// Whoever took a session over could otherwise take the account along without a sound.
#[tokio::test]
async fn the_former_address_hears_of_another_one_whichever_way_it_was_set() {
    let app = TestApp::builder().with_broker().await.start().await;
    let first = address();
    let session = app.sign_up(&first).await;
    let token = text(&session, "access_token");
    let (second, third, fourth) = (address(), address(), address());
    let preferences = json!({"email": fourth, "preferences": {}, "daily_limit": 3});
    for (former, next, method, path, body) in [
        (&first, &second, Method::PUT, "/auth/v1/user", json!({ "email": second })),
        (&second, &third, Method::POST, "/api/auth/user/email", json!(third)),
        (&third, &fourth, Method::POST, "/api/auth/user/preferences", preferences.clone()),
    ] {
        let answer = app.with_token(method, path, token, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let mail = app.queued_mail().await;
        assert_eq!(
            (&mail["type"], &mail["data"]["to"], &mail["data"]["new_email"]),
            (&json!("EMAIL_CHANGED"), &json!(former), &json!(next)),
            "{path}"
        );
        assert_eq!(app.log_in(next, PASSWORD).await.status, 200, "{path}");
    }
    // The form of the settings is also sent when the address stays.
    assert_eq!(
        app.with_token(Method::POST, "/api/auth/user/preferences", token, preferences)
            .await
            .status,
        200
    );
    assert_eq!(app.queued_mails().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_forgotten_password_is_recovered_through_the_mail() {
    let app = TestApp::builder()
        .set("FRONTEND_BASE_URL", "http://front.test:3000")
        .with_broker()
        .await
        .start()
        .await;
    let email = address();
    app.sign_up(&email).await;
    let back = "http://front.test:3000/api/auth/callback/reset-password";
    let path = format!("/recover?redirect_to={}", url_encoded(back));
    let verifier = "a verifier that is long enough to be one, says RFC 7636";
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let asked = app
        .auth(
            &path,
            json!({"email": email, "code_challenge": challenge, "code_challenge_method": "s256"}),
        )
        .await;
    assert_eq!((asked.status.as_u16(), asked.body.clone()), (200, json!({})), "{}", asked.text);
    assert_eq!(
        refusal(&app.auth(&path, json!({ "email": email })).await),
        refused(429, "over_email_send_rate_limit")
    );
    assert_eq!(
        app.auth(&path, json!({"email": address()})).await.body,
        json!({}),
        "nobody is told who has an account"
    );

    // The mail's link, followed by a browser, leads back with a code that only the one who asked can use.
    let mail = app.queued_mail().await;
    assert_eq!(
        (mail["type"].as_str(), mail["data"]["to"].as_str()),
        (Some("PASSWORD_RECOVERY"), Some(email.as_str()))
    );
    let link: &str = text(&mail["data"], "link");
    let link = &link[link.find("/auth/v1/").unwrap()..];
    let looked_at = app.request(Method::HEAD, link).send().await;
    assert_eq!(looked_at.status, 405, "a look does not use the link up");
    let arrived = app.request(Method::GET, link).send().await;
    assert_eq!(arrived.status, 303, "{}", arrived.text);
    let location = arrived.header("location");
    let code = location.strip_prefix(&format!("{back}?code=")).unwrap_or_else(|| panic!("{location}"));
    let exchange = async |code: &str, verifier: &str| {
        app.auth("/token?grant_type=pkce", json!({"auth_code": code, "code_verifier": verifier}))
            .await
    };
    assert_eq!(refusal(&exchange(code, "").await), refused(400, "validation_failed"));
    let recovered = exchange(code, verifier).await;
    assert_eq!(recovered.status, 200, "{}", recovered.text);
    assert_eq!(recovered.body["user"]["email"], json!(email));
    assert_eq!(refusal(&exchange(code, verifier).await), refused(404, "flow_state_not_found"), "once");

    let again = app.request(Method::GET, link).send().await;
    let told = "error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid+or+has+expired";
    assert_eq!(again.header("location"), format!("{back}?{told}#{told}"));
    let answer = app.auth("/verify", json!({"type": "recovery", "token_hash": "x"})).await;
    assert_eq!(refusal(&answer), refused(403, "otp_expired"));
}

#[tokio::test]
async fn a_token_is_good_for_what_it_was_sent_for_and_for_its_address() {
    let app = TestApp::builder()
        .set("FRONTEND_BASE_URL", "http://front.test:3000")
        .with_broker()
        .await
        .start()
        .await;
    let (email, other) = (address(), address());
    app.sign_up(&email).await;
    app.sign_up(&other).await;
    assert_eq!(app.auth("/recover", json!({ "email": email })).await.status, 200);
    let mail = app.queued_mail().await;
    let link = text(&mail["data"], "link");
    let token = link.split("token=").nth(1).unwrap().split('&').next().unwrap();
    let refusals = [
        (json!({ "token_hash": token }), 400, "validation_failed"),
        (json!({"type": "recovery"}), 400, "validation_failed"),
        (json!({"type": "nonsense", "token_hash": token}), 400, "validation_failed"),
        (json!({"type": "recovery", "token": token}), 400, "validation_failed"),
        (json!({"type": "recovery", "token_hash": token, "email": email}), 400, "validation_failed"),
        (json!({"type": "signup", "token_hash": token}), 403, "otp_expired"),
        (json!({"type": "email_change", "token": token, "email": email}), 403, "otp_expired"),
        (json!({"type": "recovery", "token": token, "email": other}), 403, "otp_expired"),
    ];
    for (body, status, code) in refusals {
        assert_eq!(refusal(&app.auth("/verify", body.clone()).await), refused(status, code), "{body}");
    }
    let link = link[link.find("/auth/v1/").unwrap()..].replace("type=recovery", "type=signup");
    let followed = app.request(Method::GET, &link).send().await;
    assert!(
        followed.header("location").contains("error_code=otp_expired"),
        "{}",
        followed.header("location")
    );
    // None of that has used it up.
    let answer = app
        .auth("/verify", json!({"type": "recovery", "token": token, "email": email.to_uppercase()}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["user"]["email"]),
        (200, &json!(email)),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_session_tells_the_login_that_it_began_with() {
    let app = TestApp::start().await;
    let email = address();
    let signed_up = app.sign_up(&email).await;
    let logged_in = app.log_in(&email, PASSWORD).await.body;
    let at = |session: &Value| -> model::Timestamp { text(&session["user"], "last_sign_in_at").parse().unwrap() };
    assert!(at(&logged_in) > at(&signed_up));
    let shown = app.who(text(&logged_in, "access_token")).await.body;
    assert_eq!(shown["last_sign_in_at"], logged_in["user"]["last_sign_in_at"]);
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn with_an_auth_service_elsewhere_there_is_none_here() {
    let app = TestApp::builder().set("SUPABASE_URL", "https://auth.example.test").start().await;
    assert_eq!(app.auth("/signup", json!({"email": address(), "password": PASSWORD})).await.status, 404);
    let user = crate::app::TestUser::new();
    assert_eq!(app.get(&user, "/api/executions").await.status, 200);
}

#[tokio::test]
async fn the_service_tells_how_people_log_in() {
    let app = TestApp::start().await;
    let settings = app.request(Method::GET, "/auth/v1/settings").send().await;
    assert_eq!((settings.status.as_u16(), &settings.body["mailer_autoconfirm"]), (200, &json!(true)));
    assert_eq!(app.request(Method::GET, "/auth/v1/health").send().await.status, 200);
    let keys = app.request(Method::GET, "/auth/v1/.well-known/jwks.json").send().await;
    assert_eq!((keys.status.as_u16(), keys.body), (200, json!({"keys": []})));
}

/// The client reads every answer as one of GoTrue.
#[tokio::test]
async fn what_is_not_offered_is_refused_in_the_form_that_clients_read() {
    let app = TestApp::start().await;
    let email = address();
    for (path, body) in [
        ("/otp", json!({ "email": email })),
        ("/resend", json!({"type": "signup", "email": email})),
        ("/factors/x/verify", json!({})),
    ] {
        assert_eq!(refusal(&app.auth(path, body).await), refused(404, "not_found"), "{path}");
    }
    let answer = app.request(Method::GET, "/auth/v1/authorize?provider=google").send().await;
    assert_eq!(refusal(&answer), refused(400, "validation_failed"));
    for path in ["/auth/v1", "/auth/v1/"] {
        let answer = app.request(Method::GET, path).send().await;
        assert_eq!(refusal(&answer), refused(404, "not_found"), "{path}");
    }
    for (method, path) in [
        (Method::PUT, "/signup"),
        (Method::GET, "/token"),
        (Method::DELETE, "/user"),
        (Method::PATCH, "/verify"),
    ] {
        let answer = app.request(method, &format!("/auth/v1{path}")).send().await;
        assert_eq!(refusal(&answer), refused(405, "method_not_allowed"), "{path}");
        assert!(answer.body["msg"].is_string() && !answer.header("allow").is_empty(), "{path}");
    }
    assert_eq!(app.request(Method::PATCH, "/api/graphs").send().await.refusal().0, 405);
}

/// Anybody may call: where the database is stays in the log.
#[tokio::test]
async fn without_a_database_nobody_logs_in_and_nobody_is_told_its_address() {
    let app = TestApp::builder().without_database().start().await;
    let answer = app.log_in(&address(), PASSWORD).await;
    assert_eq!(refusal(&answer), refused(503, "unexpected_failure"));
    assert_eq!((answer.header("retry-after"), &answer.body["msg"]), ("2", &json!(NO_DATABASE)));
}
