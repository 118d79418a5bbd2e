//! A gateway with two tenants: `evil`, whose policy is hostile, and `good`, who must not notice.
//!
//! The hostile policies are the tenant's own, uploaded with a key of the role `author`, as those of
//! strangers are; what no tenant can have, operators put into the settings.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use weir_tests::{
    Answer, Client, Gateway, Provider, Reply, Setup, eventually, policy, policy_file,
};

/// Callers of the tenant `good`, and calls of each while nothing else happens and beside `evil`.
const GOOD_CALLERS: usize = 2;
const QUIET_CALLS: usize = 20;
const CALLS: usize = 60;

/// Calls of each beside `evil`, or as many as `HOSTILE_CALLS` says: for figures, a hundredth of them
/// has to be more than a few.
fn calls() -> usize {
    let said = std::env::var("HOSTILE_CALLS").ok();
    said.and_then(|calls| calls.parse().ok()).unwrap_or(CALLS)
}

/// By how much the tenant `good` may wait longer before a test fails. Far from what is promised (the
/// deadline of one hook, 20 ms), because the tests share their machine; the table has the figures.
const GROWTH_MAX: Duration = Duration::from_millis(1_500);

const GOOD: &str = "sk-of-the-good-tenant";
const EVIL: &str = "sk-of-the-evil-tenant";
const AUTHOR: &str = "sk-author-of-the-evil-tenant";

/// The tenant's policies in the admin API.
const POLICIES: &str = "/admin/v1/tenants/evil/policies";

/// Tenants may have as much as the suite wants to see wasted: its quotas would end the harm sooner.
const QUOTAS: &str = "[tenant_policies]\nsize_max_bytes = 33554432\nmemory_max_bytes = 268435456\ndeadline_max_ms = 1000\ncpu_max_ms_per_minute = 6000000\n";

/// What the policies of the suite may have where nothing else is said: an operator's defaults.
const DEFAULTS: &str = "deadline_ms = 20\nmemory_max_bytes = 16777216";

/// For work that another bound than the deadline ends, also where the machine is slow.
const PATIENT: &str = "deadline_ms = 250\nmemory_max_bytes = 16777216";

/// The hostile policy: its settings, its configuration, its code.
pub(super) struct Hostile {
    /// Its settings beside the configuration, a line each, as in a `[[policy]]`.
    pub(super) settings: &'static str,
    /// Its configuration, a line each, as in a `[policy.config]`.
    pub(super) config: &'static str,
    pub(super) code: Vec<u8>,
}

impl Hostile {
    /// The policy `testing-hostile` with this configuration.
    pub(super) fn told(config: &'static str) -> Hostile {
        Hostile {
            settings: DEFAULTS,
            config,
            code: policy("testing-hostile"),
        }
    }

    /// This code.
    pub(super) fn made(code: Vec<u8>) -> Hostile {
        Hostile {
            settings: DEFAULTS,
            config: "",
            code,
        }
    }

    /// The same with enough time for what it does.
    pub(super) fn patient(mut self) -> Hostile {
        self.settings = PATIENT;
        self
    }
}

/// Both tenants and a provider. One for a whole suite, so that what leaks adds up.
pub(super) struct Arena {
    pub(super) gateway: Gateway,
    base: String,
    number: AtomicUsize,
    _provider: Provider,
}

impl Arena {
    /// `settings` are further ones of the gateway.
    pub(super) fn new(settings: &str) -> Arena {
        let provider = Provider::start();
        let tenant = |name: &str, secret: &str| {
            format!(
                "[[tenant]]\nname = \"{name}\"\n[[tenant.key]]\nname = \"k\"\nsecret = \"plain:{secret}\"\n"
            )
        };
        let base = [
            "[ledger]\nflush_ms = 20\n",
            QUOTAS,
            settings,
            &tenant("good", GOOD),
            &tenant("evil", EVIL),
            &format!(
                "[[tenant.key]]\nname = \"author\"\nrole = \"author\"\nsecret = \"plain:{AUTHOR}\"\n"
            ),
            &provider.channel("openai", "main", "models = [\"m\"]"),
            &format!(
                "\n[[policy]]\nname = \"good\"\nsource = \"file:{}\"\ntenants = [\"good\"]\ndeadline_ms = 2000\nwait_max_ms = 10000\n[policy.config]\naccess = {{ do = [\"allow\"] }}\nreply = {{ append = \" \" }}\nevents = {{ text = \"uppercase\", append = \" (end)\" }}\naudit = {{ models = [\"m\"], do = [{{ count = \"audited\" }}] }}\nanswer = {{ models = [\"stored-*\"], stored = \"audited\" }}\n",
                policy_file("testing-probe").display()
            ),
        ]
        .concat();
        let gateway = Setup::new(&(base.clone() + &mark(0))).start();
        Arena {
            gateway,
            base,
            number: AtomicUsize::new(0),
            _provider: provider,
        }
    }

    /// The same arena after a restart with these further settings.
    pub(super) fn restarted(mut self, settings: &str) -> Arena {
        self.base += settings;
        let number = self.number.load(Ordering::SeqCst);
        self.gateway.configure(&(self.base.clone() + &mark(number)));
        self.gateway.restart();
        self
    }

    /// Makes it the only policy of the tenant `evil`, by its author, and waits until it is in force.
    pub(super) fn set(&self, hostile: &Hostile) {
        let author = self.author();
        let shown = author.get(POLICIES).expect(200).json();
        for policy in shown["data"].as_array().unwrap() {
            let name = policy["name"].as_str().unwrap();
            let name = name.rsplit('/').next().unwrap();
            author
                .send("DELETE", &format!("{POLICIES}/{name}"), "")
                .expect(204);
        }
        self.add(hostile);
    }

    /// The same beside those that it has. The policy's name: `p1`, then `p2`.
    pub(super) fn add(&self, hostile: &Hostile) -> String {
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        let name = format!("p{number}");
        let mut settings = values(hostile.settings);
        settings.insert("config".to_owned(), Value::Object(values(hostile.config)));
        let settings = Value::Object(settings).to_string();
        self.author()
            .send("PUT", &format!("{POLICIES}/{name}"), settings)
            .expect(200);
        let uploaded = self.upload(&name, hostile.code.clone());
        uploaded.unwrap().expect(200);
        name
    }

    /// What the author of the tenant `evil` gets for this file, as a version of one of its policies.
    pub(super) fn upload(&self, policy: &str, code: Vec<u8>) -> Result<Reply, String> {
        let author = self.author().header("content-type", "application/wasm");
        author.try_send("PUT", &format!("{POLICIES}/{policy}/versions"), code)
    }

    fn author(&self) -> Client {
        Client::new(self.gateway.admin().address(), AUTHOR)
    }

    /// Puts a policy of the operator's, for the calls of the tenant `evil`, into force.
    pub(super) fn set_for(&self, hostile: &Hostile) {
        self.gateway.write("evil.wasm", &hostile.code);
        self.configure(&format!(
            "\n[[policy]]\nname = \"evil\"\nsource = \"file:evil.wasm\"\ntenants = [\"evil\"]\n{}\n[policy.config]\n{}\n",
            hostile.settings, hostile.config
        ));
    }

    /// Replaces the settings beside those of the tenant `good`, and waits until they are in force.
    pub(super) fn configure(&self, settings: &str) {
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        let all = [&self.base, settings, &mark(number)].concat();
        self.gateway.configure(&all);
        eventually(&format!("the settings are in force: {settings}"), || {
            let mark = self.gateway.admin().get("/admin/v1/channels/mark").json();
            (mark["models"][0] == format!("mark-{number}")).then_some(())
        });
    }

    pub(super) fn good(&self) -> Client {
        self.gateway.client(GOOD)
    }

    pub(super) fn evil(&self) -> Client {
        self.gateway.client(EVIL)
    }

    /// Calls of the tenant `good`, each of which must come out right. How long each took.
    pub(super) fn calls_of_good(&self, what: &str, calls: usize) -> Times {
        let times = weir_tests::parallel(GOOD_CALLERS, |_| {
            let client = self.good();
            (0..calls)
                .map(|number| well(&client, what, number))
                .collect::<Vec<_>>()
        });
        Times::of(times.concat())
    }

    /// Calls of the tenant `good` while nothing else happens, then again while `work` runs, over and
    /// over, on so many other threads. Fails where one of them is wrong, or all are much slower.
    pub(super) fn beside<T: Send>(
        &self,
        what: &str,
        workers: usize,
        work: impl Fn(usize) -> T + Sync,
    ) -> Beside<T> {
        let quiet = self.calls_of_good(what, QUIET_CALLS);
        let is_over = AtomicBool::new(false);
        let (is_over, work) = (&is_over, &work);
        let (disturbed, did) = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers)
                .map(|number| {
                    scope.spawn(move || {
                        let mut did = vec![work(number)];
                        while !is_over.load(Ordering::SeqCst) {
                            did.push(work(number));
                        }
                        did
                    })
                })
                .collect();
            let calls = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.calls_of_good(what, calls())
            }));
            is_over.store(true, Ordering::SeqCst);
            let did = workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap());
            let did: Vec<T> = did.collect();
            match calls {
                Ok(disturbed) => (disturbed, did),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        assert!(
            disturbed.at(99) < quiet.at(99) + GROWTH_MAX,
            "{what}: p99 grew from {:?} to {:?}",
            quiet.at(99),
            disturbed.at(99)
        );
        Beside {
            quiet,
            disturbed,
            did,
        }
    }

    /// Whole and streamed calls of the tenant `evil` by turns, beside those of `good`.
    pub(super) fn beside_evil(&self, what: &str, callers: usize) -> Beside<Reply> {
        let clients: Vec<Client> = (0..callers).map(|_| self.evil()).collect();
        let turns: Vec<AtomicBool> = (0..callers).map(|_| AtomicBool::new(false)).collect();
        self.beside(what, callers, |number| {
            let client = &clients[number];
            if turns[number].fetch_xor(true, Ordering::SeqCst) {
                client.chat("m")
            } else {
                client.chat_stream("m").rest()
            }
        })
    }

    /// Resident bytes and open files of the gateway.
    pub(super) fn footprint(&self) -> (usize, usize) {
        let folder = PathBuf::from(format!("/proc/{}", self.gateway.pid()));
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib =
            resident.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
        let files = std::fs::read_dir(folder.join("fd")).map_or(0, Iterator::count);
        (kib.unwrap_or(0) << 10, files)
    }
}

/// Lines of simple settings.
fn values(lines: &str) -> Map<String, Value> {
    let lines = lines.lines().filter_map(|line| line.split_once(" = "));
    lines
        .map(|(name, value)| (name.to_owned(), serde_json::from_str(value).unwrap()))
        .collect()
}

fn mark(number: usize) -> String {
    format!("\n[[channel]]\nname = \"mark\"\ndialect = \"fake\"\nmodels = [\"mark-{number}\"]\n")
}

/// One call of the tenant `good`, whole or streamed. Its policy adds to the one and shouts the other.
fn well(client: &Client, what: &str, number: usize) -> Duration {
    let began = Instant::now();
    let reply = if number.is_multiple_of(2) {
        client.chat("m")
    } else {
        client.chat_stream("m").rest()
    };
    let took = began.elapsed();
    let said = reply.text();
    assert_eq!(reply.status, 200, "{what}: {said}");
    assert_eq!(reply.broken, None, "{what}: {said}");
    if number.is_multiple_of(2) {
        let sent = Answer::chat("Hello from the provider.");
        let sent = String::from_utf8_lossy(sent.body()).into_owned() + " ";
        assert_eq!(said, sent, "{what}");
    } else {
        assert_eq!(spoken(&said), "HELLO FROM THE PROVIDER. (end)", "{what}");
        assert!(said.ends_with("data: [DONE]\n\n"), "{what}: {said}");
    }
    took
}

/// The text of a streamed chat.
pub(super) fn spoken(stream: &str) -> String {
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect()
}

/// How long calls took, sorted.
pub(super) struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Times {
        times.sort();
        Times(times)
    }

    /// The time within which so many of a hundred were done.
    pub(super) fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

/// Calls of the tenant `good` without and with something beside, and what that was.
pub(super) struct Beside<T> {
    quiet: Times,
    disturbed: Times,
    pub(super) did: Vec<T>,
}

impl<T> Beside<T> {
    /// A line of the table.
    pub(super) fn line(&self, what: &str, fate: &str) -> String {
        let ms = |times: &Times, percent| format!("{:.1}", times.at(percent).as_secs_f64() * 1e3);
        format!(
            "| {what} | {fate} | {} | {} | {} | {} | {} | {} | {} |\n",
            self.did.len(),
            self.disturbed.0.len(),
            ms(&self.quiet, 50),
            ms(&self.disturbed, 50),
            ms(&self.quiet, 99),
            ms(&self.disturbed, 99),
            ms(&self.disturbed, 100),
        )
    }
}

/// The head of the table of [`Beside::line`]s.
pub(super) const HEAD: &str = "| the policy of `evil` | what becomes of its calls | its calls | calls of `good`, all right | median before, ms | beside it, ms | p99 before, ms | beside it, ms | longest beside it, ms |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";

/// Adds to `hostile.md` in the folder that cargo builds into, and prints it.
pub(super) fn report(name: &str, table: &str) {
    let folder = std::env::current_exe().unwrap();
    let folder = folder.ancestors().nth(3).unwrap().to_owned();
    std::fs::write(folder.join(format!("hostile-{name}.md")), table).unwrap();
    let mut all = String::new();
    for part in ["suite", "bombs"] {
        let text = std::fs::read_to_string(folder.join(format!("hostile-{part}.md")));
        let _ = writeln!(all, "{}", text.unwrap_or_default());
    }
    std::fs::write(folder.join("hostile.md"), all).unwrap();
    println!("{table}");
}
