//! Credentials on a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed step is a failed test

use model::UserId;
use model::credentials::{CredentialSecret, PutCredential};
use store::Store;
use uuid::Uuid;
use vault::{Credentials, Error, KeyError, OpenError};

const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

async fn world() -> (Store, UserId) {
    let store = Store::connect(&devservices::testing::database().await, 4).unwrap();
    store.migrate().await.unwrap();
    let user = user(&store).await;
    (store, user)
}

async fn user(store: &Store) -> UserId {
    let id = Uuid::new_v4();
    store.get_or_create_user(id, &format!("{id}@example.com"), None).await.unwrap();
    id
}

fn with(store: &Store, keys: &str) -> Credentials {
    Credentials::new(store.clone(), keys).unwrap()
}

fn api_key(value: &str) -> PutCredential {
    PutCredential {
        origin: "Secret/n/github".to_owned(),
        provider: "github".to_owned(),
        title: Some("github".to_owned()),
        secret: CredentialSecret::api_key(value),
    }
}

#[tokio::test]
async fn a_credential_is_its_owners_and_the_same_as_long_as_its_origin_is() {
    let (store, user_id) = world().await;
    let credentials = with(&store, ONE);
    let first = credentials.put(user_id, &api_key("one")).await.unwrap();
    let second = credentials.put(user_id, &api_key("two")).await.unwrap();
    assert_eq!(first, second);
    assert_eq!((first.provider.as_str(), first.kind.as_str()), ("github", "api_key"));
    let id = first.id.parse().unwrap();
    let opened = credentials.open(user_id, id).await.unwrap().unwrap();
    assert_eq!(opened.secret, CredentialSecret::api_key("two"));
    let stranger = user(&store).await;
    assert!(credentials.open(stranger, id).await.unwrap().is_none());
    assert_ne!(credentials.put(stranger, &api_key("three")).await.unwrap().id, first.id);
    let nobody = credentials.put(Uuid::new_v4(), &api_key("four")).await.unwrap_err();
    assert!(matches!(nobody, Error::UnknownUser { .. }), "{nobody}");
    // What lists show is stored in the clear, the secret is not.
    let login = PutCredential {
        origin: "Secret/n/login".to_owned(),
        secret: CredentialSecret::UserPassword {
            username: "ada".to_owned(),
            password: "a-secret-word".to_owned(),
        },
        ..api_key("")
    };
    let id = credentials.put(user_id, &login).await.unwrap().id.parse().unwrap();
    let stored = store.get_credential(user_id, id).await.unwrap().unwrap();
    assert_eq!((stored.username.as_deref(), stored.kind.as_str()), (Some("ada"), "user_password"));
    assert!(!String::from_utf8_lossy(&stored.sealed).contains("a-secret-word"));
}

#[tokio::test]
async fn keys_change_and_a_wrong_one_is_loud() {
    let (store, user_id) = world().await;
    let id = with(&store, ONE).put(user_id, &api_key("one")).await.unwrap().id.parse().unwrap();
    let wrong = with(&store, OTHER).open(user_id, id).await.unwrap_err();
    assert!(
        matches!(
            &wrong,
            Error::Open {
                cause: OpenError::UnknownKey { .. },
                ..
            }
        ),
        "{wrong}"
    );
    assert!(wrong.to_string().contains("put the old key behind the new one"), "{wrong}");
    assert_eq!(with(&store, OTHER).reseal().await.unwrap(), 0, "what cannot be opened stays as it is");
    let both = with(&store, &format!("{OTHER},{ONE}"));
    assert_eq!(both.reseal().await.unwrap(), 1);
    assert_eq!(both.reseal().await.unwrap(), 0);
    let opened = with(&store, OTHER).open(user_id, id).await.unwrap().unwrap();
    assert_eq!(opened.secret, CredentialSecret::api_key("one"));

    let without = with(&store, "");
    assert!(matches!(
        without.put(user_id, &api_key("one")).await.unwrap_err(),
        Error::Key(KeyError::Missing)
    ));
    assert!(matches!(without.open(user_id, id).await.unwrap_err(), Error::Key(KeyError::Missing)));
    assert_eq!(Credentials::new(store, "no key").err(), Some(KeyError::Malformed(1)));
}

#[tokio::test]
async fn copies_are_found_by_their_origin_and_forgotten_unless_they_were_kept_again() {
    let (store, user_id) = world().await;
    let credentials = with(&store, ONE);
    let elsewhere = PutCredential {
        origin: "Secret/other/github".to_owned(),
        ..api_key("three")
    };
    for given in [&api_key("one"), &elsewhere] {
        credentials.put(user_id, given).await.unwrap();
    }
    let stranger = user(&store).await;
    credentials.put(stranger, &api_key("two")).await.unwrap();
    let copies = store.credential_copies("Secret/n/", Uuid::nil(), 10).await.unwrap();
    assert_eq!(copies.iter().map(|copy| copy.origin.as_str()).collect::<Vec<_>>(), ["Secret/n/github"; 2]);
    assert_eq!(store.credential_copies("Secret/n/", copies[0].id, 10).await.unwrap(), copies[1..]);
    assert!(store.credential_copies("Secret/%/", Uuid::nil(), 10).await.unwrap().is_empty());

    credentials.put(stranger, &api_key("again")).await.unwrap();
    assert_eq!(store.forget_credentials(&copies).await.unwrap(), 1);
    let left = store.credential_copies("", Uuid::nil(), 10).await.unwrap();
    assert_eq!(
        left.len(),
        2,
        "the stranger's, which is a new one now, and the one from elsewhere: {left:?}"
    );
    let newest = store.credential_copies("Secret/n/", Uuid::nil(), 10).await.unwrap();
    assert_eq!(store.forget_credentials(&newest).await.unwrap(), 1);
    assert_eq!(store.forget_credentials(&newest).await.unwrap(), 0);
}
