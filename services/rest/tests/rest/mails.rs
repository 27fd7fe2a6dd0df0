//! What comes back about mails.

use auth::unsubscribe::Unsubscriber;
use http::Method;
use runtime::Settings;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{TestApp, TestUser};

const KEY: (&str, &str) = ("UNSUBSCRIBE_SECRET_KEY", "a key of the tests");

#[tokio::test]
async fn the_link_of_a_mail_switches_mails_off_without_a_login() {
    let app = TestApp::builder().set(KEY.0, KEY.1).start().await;
    let links = Unsubscriber::from_settings(&Settings::from_pairs([KEY]).unwrap()).unwrap();
    let (user, other) = (TestUser::new(), TestUser::new());
    for user in [&user, &other] {
        assert_eq!(app.post(user, "/api/auth/user", json!({})).await.status, 200);
    }
    let preferences = async |user: &TestUser| app.get(user, "/api/auth/user/preferences").await.body;
    let before = preferences(&other).await;
    let follow = async |token: &str| {
        let path = format!("/api/email/unsubscribe?token={}", token.replace('=', "%3D"));
        app.request(Method::POST, &path).raw("List-Unsubscribe=One-Click").send().await
    };
    let answer = follow(&links.token(user.id)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let now = preferences(&user).await;
    let switches = now["preferences"].as_object().unwrap();
    assert_eq!(switches.len(), 10);
    for (kind, wanted) in switches {
        let is_kept = matches!(kind.as_str(), "AGENT_APPROVED" | "AGENT_REJECTED");
        assert_eq!(wanted, &Value::from(is_kept), "{kind}");
    }
    assert_eq!(now["daily_limit"], before["daily_limit"]);
    assert_eq!(preferences(&other).await["preferences"], before["preferences"]);

    let unknown = links.token(Uuid::new_v4());
    for bad in ["", "x", &unknown] {
        assert_eq!(follow(bad).await.refusal(), (400, &json!("Invalid unsubscribe token")), "{bad}");
    }
    assert_eq!(app.request(Method::POST, "/api/email/unsubscribe").send().await.status, 422);
    assert_eq!(app.request(Method::GET, "/api/email/unsubscribe?token=x").send().await.status, 405);
}
