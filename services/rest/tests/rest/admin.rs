//! What administrators see of the users.

use http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser};

#[tokio::test]
async fn administrators_find_users_and_nobody_else_does() {
    let app = TestApp::start().await;
    let (ada, bob) = (
        TestUser::with(json!({"email": "Ada_1@example.test"})),
        TestUser::with(json!({"email": "bob@example.test"})),
    );
    for user in [&ada, &bob] {
        assert_eq!(app.post(user, "/api/auth/user", json!({})).await.status, 200);
    }
    let admin = TestUser::with(json!({"role": "admin", "email": "root@example.test"}));
    assert_eq!(app.post(&admin, "/api/auth/user", json!({})).await.status, 200);
    let emails = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().unwrap().iter();
        users.map(|user| user["email"].as_str().unwrap().to_lowercase()).collect()
    };
    // The document's path, and the one that the frontend calls.
    for path in ["/api/admin/admin/users", "/api/admin/users"] {
        let all = app.get(&admin, path).await;
        assert_eq!(all.status, 200, "{}", all.text);
        assert_eq!(emails(&all.body), ["root@example.test", "bob@example.test", "ada_1@example.test"]);
        assert_eq!(
            all.body["pagination"],
            json!({"total_items": 3, "total_pages": 1, "current_page": 1, "page_size": 20})
        );
        let found = app.get(&admin, &format!("{path}?search=aDa_")).await.body;
        assert_eq!(
            (emails(&found), &found["users"][0]["id"]),
            (vec!["ada_1@example.test".to_owned()], &json!(ada.id))
        );
        assert_eq!(
            emails(&app.get(&admin, &format!("{path}?search={}", bob.id)).await.body),
            ["bob@example.test"]
        );
        assert_eq!(emails(&app.get(&admin, &format!("{path}?search=%25")).await.body), Vec::<String>::new());
        assert_eq!(
            emails(&app.get(&admin, &format!("{path}?page=2&page_size=2")).await.body),
            ["ada_1@example.test"]
        );
        assert_eq!(app.get(&admin, &format!("{path}?page=0")).await.status, 422);
        assert_eq!(app.get(&bob, path).await.status, 403);
        assert_eq!(app.request(Method::GET, path).send().await.status, 401);
    }
}
