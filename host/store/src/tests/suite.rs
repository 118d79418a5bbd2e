//! How any database must behave. A function per subject; each gets a place that it can open.
//! To run it on another database, give [`Place`] another `open`.

use super::*;

macro_rules! suite {
    ($($name:ident),* $(,)?) => { $(#[test] fn $name() { run(subject::$name(&Place::new())); })* };
}

suite!(
    entities_are_created_changed_listed_and_deleted,
    what_must_be_unique_is,
    what_makes_no_sense_is_refused,
    what_belongs_to_something_goes_with_it,
    secrets_are_encrypted,
    policies_keep_their_bytes,
    everything_is_loaded_at_once,
    states_are_saved_and_expire,
    the_ledger_keeps_all_of_a_call,
    calls_are_found_and_paged,
    usage_is_summed,
    absurd_usage_does_no_harm,
    old_calls_are_purged,
    a_closed_store_says_so,
    updates_do_not_overtake_each_other,
);

mod subject {
    use super::*;

    fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> bool {
        matches!(result, Err(StoreError::Conflict(_)))
    }

    pub(super) async fn entities_are_created_changed_listed_and_deleted(place: &Place) {
        let store = place.open();
        for id in ["c", "a", "b"] {
            store.create(&tenant(id)).await.unwrap();
        }
        assert_eq!(store.get::<Tenant>("a").await, Ok(tenant("a")));
        let query = ListQuery {
            limit: 2,
            ..ListQuery::default()
        };
        let page: Page<Tenant> = store.list(query.clone()).await.unwrap();
        assert_eq!(page.items, [tenant("a"), tenant("b")]);
        let query = ListQuery {
            after: page.next,
            ..query
        };
        let page: Page<Tenant> = store.list(query).await.unwrap();
        assert_eq!((page.items, page.next), (vec![tenant("c")], None));

        let changed = store
            .update("b", |tenant: &mut Tenant| tenant.disabled = true)
            .await;
        let expected = Tenant {
            disabled: true,
            updated_ms: MIDNIGHT_MS,
            ..tenant("b")
        };
        assert_eq!(changed, Ok(expected.clone()));
        drop(store);
        let store = place.open();
        assert_eq!(store.get::<Tenant>("b").await, Ok(expected));
        store.delete::<Tenant>("b").await.unwrap();
        assert_eq!(store.get::<Tenant>("b").await, Err(StoreError::NotFound));
        assert_eq!(store.delete::<Tenant>("b").await, Err(StoreError::NotFound));
        let update = store.update("b", |_: &mut Tenant| {}).await;
        assert_eq!(update, Err(StoreError::NotFound));
    }

    pub(super) async fn what_must_be_unique_is(place: &Place) {
        let store = place.open();
        store.create(&tenant("a")).await.unwrap();
        assert!(conflict(store.create(&tenant("a")).await));
        store.create(&key("1", "a")).await.unwrap();
        store.create(&key("2", "a")).await.unwrap();
        let same_name = VirtualKey {
            id: "key_3".to_owned(),
            ..key("1", "a")
        };
        assert!(conflict(store.create(&same_name).await));
        let elsewhere = VirtualKey {
            tenant: "b".to_owned(),
            ..same_name
        };
        store.create(&elsewhere).await.unwrap();
        let rename = |key: &mut VirtualKey| key.name = "1".to_owned();
        assert!(conflict(store.update("key_2", rename).await));
        store
            .put(&Tenant {
                name: "new".to_owned(),
                ..tenant("a")
            })
            .await
            .unwrap();
        assert_eq!(store.get::<Tenant>("a").await.unwrap().name, "new");
    }

    pub(super) async fn what_makes_no_sense_is_refused(place: &Place) {
        let store = place.open();
        let invalid = |result| matches!(result, Err(StoreError::Invalid(_)));
        for id in ["", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(invalid(store.create(&tenant(id)).await), "{id}");
        }
        assert!(invalid(store.create(&provider_key("p", "c", "")).await));
        assert!(invalid(
            store
                .create(&VirtualKey {
                    name: "\n".into(),
                    ..key("1", "a")
                })
                .await
        ));
        store.create(&tenant("a")).await.unwrap();
        let rename = |tenant: &mut Tenant| tenant.id = "b".to_owned();
        assert!(invalid(store.update("a", rename).await.map(|_| ())));
        assert_eq!(store.get::<Tenant>("a").await, Ok(tenant("a")));
    }

    pub(super) async fn what_belongs_to_something_goes_with_it(place: &Place) {
        let store = place.open();
        store.create(&tenant("a")).await.unwrap();
        store.create(&key("1", "a")).await.unwrap();
        store.create(&key("2", "b")).await.unwrap();
        store.delete::<Tenant>("a").await.unwrap();
        let page: Page<VirtualKey> = store.list(ListQuery::default()).await.unwrap();
        assert_eq!(page.items, [key("2", "b")]);
        let of_b = ListQuery {
            parent: Some("b".to_owned()),
            ..ListQuery::default()
        };
        assert_eq!(
            store
                .list::<VirtualKey>(of_b.clone())
                .await
                .unwrap()
                .items
                .len(),
            1
        );
        let of_a = ListQuery {
            parent: Some("a".to_owned()),
            ..of_b
        };
        assert!(
            store
                .list::<VirtualKey>(of_a)
                .await
                .unwrap()
                .items
                .is_empty()
        );
    }

    pub(super) async fn secrets_are_encrypted(place: &Place) {
        let (secret, store) = ("sk-a-very-recognisable-secret", place.open());
        store
            .create(&provider_key("p1", "c", secret))
            .await
            .unwrap();
        let disable = |key: &mut ProviderKey| key.disabled_reason = Some("401".to_owned());
        store.update("p1", disable).await.unwrap();
        let found: ProviderKey = store.get("p1").await.unwrap();
        assert_eq!(found.secret.expose(), secret);
        assert_eq!(found.disabled_reason.as_deref(), Some("401"));
        assert!(!serde_json::to_string(&found).unwrap().contains(secret));
        // With the store still open: its log goes when the last connection does.
        let files = place.files();
        let holds = |text: &str| {
            files
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        assert!(holds("p1") && !holds(secret) && !holds(&hex::encode(secret)));
        store.close(WAIT).unwrap();
        let other = MasterKey::generate().unwrap();
        let opened = Store::open(&place.path(), &other, place.settings());
        assert_eq!(opened.unwrap_err(), StoreError::WrongMasterKey);
        let again: ProviderKey = place.open().get("p1").await.unwrap();
        assert_eq!(again.secret.expose(), secret);
    }

    pub(super) async fn policies_keep_their_bytes(place: &Place) {
        let store = place.open();
        let bytes = vec![42; 3 << 20];
        let version = PolicyVersion {
            policy: "limits".to_owned(),
            digest: hex::encode(sha256(&bytes)),
            size_bytes: bytes.len() as u64,
            bytes,
            created_ms: 1,
            source: "api".to_owned(),
            report: serde_json::json!({"hooks": ["limit"]}),
        };
        store.create(&version).await.unwrap();
        assert!(conflict(store.create(&version).await));
        let id = PolicyVersion::id_of("limits", &version.digest);
        assert_eq!(store.get::<PolicyVersion>(&id).await, Ok(version.clone()));
        let query = ListQuery {
            parent: Some("limits".to_owned()),
            ..ListQuery::default()
        };
        let listed: Page<PolicyVersion> = store.list(query).await.unwrap();
        assert_eq!(
            listed.items,
            [PolicyVersion {
                bytes: Vec::new(),
                ..version.clone()
            }]
        );
        let forged = PolicyVersion {
            bytes: vec![43],
            ..version
        };
        assert!(matches!(
            store.put(&forged).await,
            Err(StoreError::Invalid(_))
        ));
    }

    pub(super) async fn everything_is_loaded_at_once(place: &Place) {
        let store = place.open();
        let channel = Channel {
            name: "main".to_owned(),
            dialect: "openai".to_owned(),
            base_url: "https://api.openai.com/v1".to_owned(),
            models: vec!["gpt-*".to_owned()],
            model_map: BTreeMap::from([("fast".to_owned(), "gpt-4o-mini".to_owned())]),
            priority: 10,
            weight: 1,
            settings: serde_json::json!({"headers": {"a": "b"}}),
            disabled: false,
            created_ms: 1,
            updated_ms: 1,
        };
        let disabled = DisabledKey {
            channel: "main".to_owned(),
            fingerprint: sha256(b"sk"),
            reason: "401".to_owned(),
            disabled_ms: 5,
        };
        let state = PolicyState {
            active: Some("d2".to_owned()),
            previous: Some("d1".to_owned()),
            approved: vec!["d2".to_owned()],
            ..PolicyState::new("p")
        };
        let setting = |name: &str, position| PolicySetting {
            name: name.to_owned(),
            position,
            settings: serde_json::json!({"on_failure": "deny"}),
        };
        let ban = |ip: &str, until_ms| Ban {
            ip: ip.parse().unwrap(),
            until_ms,
            reason: "flood".to_owned(),
        };
        store.create(&channel).await.unwrap();
        store.put(&disabled).await.unwrap();
        store.put(&disabled).await.unwrap();
        store.put(&state).await.unwrap();
        store.put(&setting("a", 2)).await.unwrap();
        store.put(&setting("b", 1)).await.unwrap();
        store
            .put(&ban("2001:db8::1", MIDNIGHT_MS + 1))
            .await
            .unwrap();
        store.put(&ban("192.0.2.1", MIDNIGHT_MS)).await.unwrap();
        for n in 0..1_500 {
            store.put(&key(&format!("{n}"), "t")).await.unwrap();
        }
        let all = store.load_all().unwrap();
        assert_eq!(
            (all.channels, all.disabled_keys),
            (vec![channel], vec![disabled.clone()])
        );
        assert_eq!((all.policy_states, all.keys.len()), (vec![state], 1_500));
        assert_eq!(all.policy_settings, [setting("b", 1), setting("a", 2)]);
        assert_eq!(all.bans, [ban("2001:db8::1", MIDNIGHT_MS + 1)]);
        let id = DisabledKey::id_of("main", &disabled.fingerprint);
        store.delete::<DisabledKey>(&id).await.unwrap();
        store.delete::<Ban>("2001:db8::1").await.unwrap();
        assert!(store.load_all().unwrap().disabled_keys.is_empty());
    }

    pub(super) async fn states_are_saved_and_expire(place: &Place) {
        let row = |key: &str, value: Option<&[u8]>, expires_ms| StateRow {
            key: key.to_owned(),
            value: value.map(<[u8]>::to_vec),
            expires_ms,
        };
        let rows = vec![
            row("ends", Some(b"1"), Some(MIDNIGHT_MS + 10)),
            row("gone", Some(b"2"), None),
            row("stays", Some(b"3"), None),
        ];
        let store = place.open();
        store
            .save_states(StateKind::Counter, rows.clone())
            .await
            .unwrap();
        store
            .save_states(StateKind::KeyValue, rows[2..].to_vec())
            .await
            .unwrap();
        let gone = vec![row("gone", None, None)];
        store.save_states(StateKind::Counter, gone).await.unwrap();
        drop(store);
        let store = place.open();
        let loaded = store.load_states(StateKind::Counter).unwrap();
        assert_eq!(loaded, [rows[0].clone(), rows[2].clone()]);
        place.clock.advance(10);
        assert_eq!(
            store.load_states(StateKind::Counter).unwrap(),
            [rows[2].clone()]
        );
        assert_eq!(
            store.load_states(StateKind::KeyValue).unwrap(),
            [rows[2].clone()]
        );
    }

    pub(super) async fn the_ledger_keeps_all_of_a_call(place: &Place) {
        let store = place.open();
        let mut refused = call(2);
        refused.ended = Ended::Refused;
        refused.denied = Some(Cow::Borrowed("model_not_allowed"));
        refused.channel = None;
        refused.upstream_model = None;
        refused.provider_key = None;
        refused.first_byte_ms = None;
        refused.attempts.clear();
        refused.client_ip = "2001:db8::7".parse().unwrap();
        let mut retried = call(3);
        retried.operation = Operation::CountTokens;
        retried.attempts.insert(
            0,
            AttemptRow {
                channel: "say \"no\"\n".into(),
                key: None,
                status: None,
                failure: Some(Cow::Borrowed("connect")),
                ms: 0,
                more: Some(Box::new(AttemptMore {
                    cause: Some(Cow::Borrowed("cost")),
                    model: Some("gpt-4o-mini".into()),
                    usage: Some(Usage {
                        input_tokens: 12,
                        ..Usage::default()
                    }),
                })),
            },
        );
        let mut bare = call(4);
        bare.attempts.clear();
        bare.decisions.clear();
        let rows = [call(1), refused, retried, bare];
        for row in &rows {
            store.ledger().record(row.clone());
        }
        // The same row again, as after a commit whose fate was unknown.
        store.ledger().record(call(1));
        store.flush(WAIT).unwrap();
        for row in &rows {
            assert_eq!(store.call(row.id).await.as_ref(), Ok(row));
        }
        let calls = store.calls(CallFilter::default(), None, 10).await.unwrap();
        assert_eq!(calls.len(), 4);
        assert_eq!(store.call(call_id(99)).await, Err(StoreError::NotFound));
        drop(store);
        assert_eq!(place.open().call(call_id(1)).await, Ok(call(1)));
    }

    pub(super) async fn calls_are_found_and_paged(place: &Place) {
        let store = place.open();
        for n in 0..100 {
            let mut row = call(n * 1_000);
            row.status = if n % 10 == 0 { 429 } else { 200 };
            row.denied = (n % 10 == 0).then_some(Cow::Borrowed("rate_limited"));
            row.tenant = if n % 2 == 0 {
                "even".into()
            } else {
                "odd".into()
            };
            store.ledger().record(row);
        }
        store.flush(WAIT).unwrap();
        let find = |filter: CallFilter, before, limit| {
            let store = store.clone();
            async move {
                let calls = store.calls(filter, before, limit).await.unwrap();
                calls.iter().map(|call| call.id).collect::<Vec<_>>()
            }
        };
        let ids = |ns: &[u64]| ns.iter().map(|n| call_id(n * 1_000)).collect::<Vec<_>>();
        let all = CallFilter::default();
        assert_eq!(find(all.clone(), None, 3).await, ids(&[99, 98, 97]));
        assert_eq!(
            find(all.clone(), Some(call_id(97_000)), 2).await,
            ids(&[96, 95])
        );
        let tenant = CallFilter {
            tenant: Some("odd".to_owned()),
            ..all.clone()
        };
        assert_eq!(find(tenant, None, 2).await, ids(&[99, 97]));
        let denied = CallFilter {
            denied: Some("rate_limited".to_owned()),
            ..all.clone()
        };
        assert_eq!(find(denied, None, 2).await, ids(&[90, 80]));
        let status = CallFilter {
            status_min: Some(400),
            status_max: Some(499),
            ..all.clone()
        };
        assert_eq!(
            find(status.clone(), Some(call_id(80_000)), 1).await,
            ids(&[70])
        );
        let none = CallFilter {
            model: Some("other".to_owned()),
            ..status
        };
        assert!(find(none, None, 1).await.is_empty());
        let times = CallFilter {
            from_ms: Some(MIDNIGHT_MS + 10_000),
            to_ms: Some(MIDNIGHT_MS + 12_000),
            ..all
        };
        assert_eq!(find(times, None, 10).await, ids(&[11, 10]));
    }

    pub(super) async fn usage_is_summed(place: &Place) {
        let store = place.open();
        let hour_ms = 3_600_000;
        for n in 0..30 {
            let mut row = call(n * hour_ms);
            row.model = if n % 3 == 0 { "a".into() } else { "b".into() };
            row.ended = if n == 0 {
                Ended::Refused
            } else {
                Ended::Complete
            };
            row.usage.estimated = n == 1;
            store.ledger().record(row);
        }
        let mut elsewhere = call(5);
        elsewhere.tenant = "other".into();
        elsewhere.ended = Ended::UpstreamBroke;
        store.ledger().record(elsewhere);
        store.flush(WAIT).unwrap();
        let total = store.usage(UsageQuery::default()).await.unwrap();
        assert_eq!(total.len(), 1);
        assert_eq!(
            (total[0].calls, total[0].refused, total[0].failed),
            (31, 1, 1)
        );
        assert_eq!(
            (total[0].usage.input_tokens, total[0].usage.cost_micros),
            (31_000, 155_000)
        );
        assert!(total[0].usage.estimated);
        let query = UsageQuery {
            group_by: vec![Group::Model, Group::Day],
            tenant: Some("acme".to_owned()),
            ..UsageQuery::default()
        };
        let rows = store.usage(query).await.unwrap();
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.start_ms,
                    row.model.as_deref(),
                    row.calls,
                    row.tenant.is_none(),
                )
            })
            .collect();
        let (first, second) = (Some(MIDNIGHT_MS), Some(MIDNIGHT_MS + 24 * hour_ms));
        let expected = [
            (first, Some("a"), 8, true),
            (first, Some("b"), 16, true),
            (second, Some("a"), 2, true),
            (second, Some("b"), 4, true),
        ];
        assert_eq!(told, expected);
        let query = UsageQuery {
            group_by: vec![Group::Hour, Group::Operation, Group::Tenant, Group::Channel],
            from_ms: Some(MIDNIGHT_MS),
            to_ms: Some(MIDNIGHT_MS + hour_ms),
            tenant: None,
        };
        let rows = store.usage(query).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].operation, Some(Operation::Chat));
        assert_eq!(rows[1].tenant.as_deref(), Some("other"));
    }

    pub(super) async fn absurd_usage_does_no_harm(place: &Place) {
        let store = place.open();
        for n in 0..2_000 {
            let mut row = call(n);
            row.usage.input_tokens = u64::MAX;
            store.ledger().record(row);
        }
        store.flush(WAIT).unwrap();
        let total = store.usage(UsageQuery::default()).await.unwrap();
        assert!(total[0].usage.input_tokens > 1 << 53);
        assert_eq!(total[0].usage.output_tokens, 500_000);
    }

    pub(super) async fn old_calls_are_purged(place: &Place) {
        let store = place.open();
        for n in 0..5_000 {
            store.ledger().record(call(n));
        }
        store.flush(WAIT).unwrap();
        assert_eq!(
            store.purge_calls_before(MIDNIGHT_MS + 4_500).await,
            Ok(4_500)
        );
        assert_eq!(store.purge_calls_before(MIDNIGHT_MS + 4_500).await, Ok(0));
        let rest = store
            .calls(CallFilter::default(), None, 1_000)
            .await
            .unwrap();
        assert_eq!((rest.len(), rest[499].id), (500, call_id(4_500)));
    }

    pub(super) async fn a_closed_store_says_so(place: &Place) {
        let store = place.open();
        store.ledger().record(call(1));
        store.close(WAIT).unwrap();
        assert!(!store.ledger().accepting());
        let created = store.create(&tenant("a")).await;
        assert!(matches!(created, Err(StoreError::Unavailable(_))));
        assert!(store.check_writable().await.is_err());
        store.ledger().record(call(2));
        assert_eq!(
            (
                store.ledger().status().lost,
                store.ledger().status().backlog
            ),
            (1, 0)
        );
        assert_eq!(place.open().call(call_id(1)).await, Ok(call(1)));
    }

    pub(super) async fn updates_do_not_overtake_each_other(place: &Place) {
        let store = place.open();
        store
            .create(&Tenant {
                created_ms: 0,
                ..tenant("a")
            })
            .await
            .unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let store = store.clone();
                scope.spawn(move || {
                    for _ in 0..50 {
                        let count = |tenant: &mut Tenant| tenant.created_ms += 1;
                        run(store.update("a", count)).unwrap();
                    }
                });
            }
        });
        assert_eq!(store.get::<Tenant>("a").await.unwrap().created_ms, 200);
    }
}
