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

#[tokio::test]
async fn an_address_from_which_mails_come_back_gets_no_more_of_them() {
    let app = TestApp::builder().set("POSTMARK_WEBHOOK_TOKEN", "a token of the tests").start().await;
    let (user, other) = (TestUser::new(), TestUser::new());
    let mut emails = Vec::new();
    for user in [&user, &other] {
        emails.push(
            app.post(user, "/api/auth/user", json!({})).await.body["email"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let verified = async |user: &TestUser| app.post(user, "/api/auth/user", json!({})).await.body["email_verified"].clone();
    let bounce = |code: Value, email: &str| {
        let mut report = json!({
            "RecordType": "Bounce", "ID": 4_323_372_036_854_775_807_i64, "TypeCode": code, "Email": email, "ServerID": 1, "Metadata": {"a": "b"},
            "Inactive": true, "DumpAvailable": false, "CanActivate": true,
        });
        for name in [
            "Type",
            "Tag",
            "MessageID",
            "Details",
            "From",
            "BouncedAt",
            "Subject",
            "MessageStream",
            "Content",
            "Name",
            "Description",
        ] {
            report[name] = json!("x");
        }
        report
    };
    let tell = async |token: &str, report: Value| {
        let request = app.request(Method::POST, "/api/email/").header("x-postmark-webhook-token", token);
        request.json(&report).send().await
    };
    let good = "a token of the tests";
    let wrong = tell("another token", bounce(json!(1), &emails[0])).await;
    assert_eq!(wrong.refusal(), (401, &json!("Invalid webhook token")));
    let none = app.request(Method::POST, "/api/email/").raw("{").send().await;
    assert_eq!(none.refusal(), (401, &json!("Missing webhook token")), "before the body is looked at");
    for passing in [2, 256, 4096] {
        assert_eq!(tell(good, bounce(json!(passing), &emails[0])).await.status, 200);
    }
    let mut complaint = bounce(json!(100_001), &emails[0]);
    complaint["RecordType"] = json!("SpamComplaint");
    assert_eq!(tell(good, complaint).await.text, "null", "kept in the log only");
    assert_eq!(tell(good, bounce(json!(1), "nobody@example.test")).await.status, 200);
    assert_eq!((verified(&user).await, verified(&other).await), (json!(true), json!(true)));

    let answer = tell(good, bounce(json!(1), &emails[0])).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "null"));
    assert_eq!((verified(&user).await, verified(&other).await), (json!(false), json!(true)));
    let moved = app.post(&user, "/api/auth/user/email", json!(format!("new-{}", emails[0]))).await;
    assert_eq!(
        (moved.status.as_u16(), verified(&user).await),
        (200, json!(true)),
        "another address is believed again"
    );

    let mut short = bounce(json!(1), "x");
    short.as_object_mut().unwrap().remove("Email");
    let refused = tell(good, short).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.body["detail"][0]["loc"]),
        (422, &json!(["body", "Bounce", "Email"]))
    );
    for bad in [
        json!({}),
        json!({"RecordType": "Letter"}),
        json!({"RecordType": 5}),
        bounce(json!(3), "x"),
        json!([]),
    ] {
        assert_eq!(tell(good, bad.clone()).await.status, 422, "{bad}");
    }
    let unset = TestApp::start().await;
    let request = unset.request(Method::POST, "/api/email/").header("x-postmark-webhook-token", "");
    assert_eq!(request.json(&bounce(json!(1), &emails[0])).send().await.status, 401);
}
