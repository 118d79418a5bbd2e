//! The list of everything that a policy may import, under the names of each release.
//!
//! One list for all of them: a release offers what is in it from that release on. What the functions
//! do is in `imports.rs`; accessors of `call` and `channels` are so small that they stand here, and
//! those that most policies use read a name where it lies in the guest's memory and hand over a body
//! without copying it on the host first.
//!
//! The types are checked against a component when it is linked; that nothing of a release is missing,
//! by a test that loads a component which imports all of it (`tests/runtime/releases.rs`).

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, WasmList, WasmStr};

use crate::bindings::weir::policy as wit;
use crate::release::Release;
use crate::services::CallHost;
use crate::state::State;
use crate::types::{Completion, HttpRequest, LogLevel, Message, Response};

type Labels = Vec<(String, String)>;
type Done = Result<(), String>;

/// The call that a hook is about, as it stands in the store.
type Bound = dyn CallHost + 'static;

/// What a function of the host gets to see.
type Caller<'a> = StoreContextMut<'a, State>;

/// A linker with every import that any policy may have.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    for release in Release::ALL {
        link(&mut linker, release)?;
    }
    Ok(linker)
}

/// Functions of an interface, as WIT lists them, each done by the method of the trait that bindgen
/// made of the interface.
macro_rules! define {
    ($linker:ident, $release:ident, $interface:literal, $host:path {
        $($name:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?;)*
    }) => {{
        let mut interface = $linker.instance(&$release.name($interface))?;
        $(interface.func_wrap(
            &stringify!($name).replace('_', "-"),
            |mut store: Caller<'_>, ($($arg,)*): ($($type,)*)| {
                let answer = <State as $host>::$name(store.data_mut(), $($arg),*)?;
                Ok(define!(@answer answer $(: $answer)?))
            },
        )?;)*
    }};
    (@answer $answer:ident) => { $answer };
    (@answer $answer:ident: $type:ty) => {{
        let answer: ($type,) = ($answer,);
        answer
    }};
}

fn link(linker: &mut Linker<State>, release: Release) -> wasmtime::Result<()> {
    linker.instance(&release.name("types"))?;
    call(&mut linker.instance(&release.name("call"))?, release)?;
    channels(&mut linker.instance(&release.name("channels"))?)?;
    define!(linker, release, "edit", wit::edit::Host {
        set_model(model: String) -> Done;
        set_header(name: String, value: String) -> Done;
        remove_header(name: String) -> Done;
        set_json(pointer: String, json: String) -> Done;
        remove_json(pointer: String) -> Done;
        prepend_system(text: String) -> Done;
        set_message_text(index: u32, text: String) -> Done;
        replace_body(body: Vec<u8>) -> Done;
    });
    define!(linker, release, "store", wit::store::Host {
        get(key: String) -> Option<Vec<u8>>;
        set(key: String, value: Vec<u8>, ttl_ms: Option<u32>) -> Done;
        remove(key: String);
        add(key: String, by: i64, ttl_ms: Option<u32>) -> Result<i64, String>;
    });
    define!(linker, release, "log", wit::log::Host {
        write(level: LogLevel, message: String);
    });
    metrics(&mut linker.instance(&release.name("metrics"))?)?;
    define!(linker, release, "clock", wit::clock::Host {
        now_ms() -> u64;
    });
    define!(linker, release, "secrets", wit::secrets::Host {
        get(name: String) -> Option<String>;
    });
    define!(linker, release, "firewall", wit::firewall::Host {
        ban(ip: String, for_ms: u32, reason: String) -> Done;
    });
    models(&mut linker.instance(&release.name("models"))?)?;
    http(&mut linker.instance(&release.name("http"))?)
}

fn call(call: &mut LinkerInstance<'_, State>, release: Release) -> wasmtime::Result<()> {
    call.func_wrap("id", |store, (): ()| text(store, <Bound>::id))?;
    call.func_wrap("dialect", |store, (): ()| text(store, <Bound>::dialect))?;
    call.func_wrap("method", |store, (): ()| text(store, <Bound>::method))?;
    call.func_wrap("path", |store, (): ()| text(store, <Bound>::path))?;
    call.func_wrap("tenant", |store, (): ()| shared(store, <Bound>::tenant))?;
    call.func_wrap("key", |store, (): ()| shared(store, <Bound>::key))?;
    call.func_wrap("client-ip", |store, (): ()| text(store, <Bound>::client_ip))?;
    call.func_wrap("remember", |mut store: Caller<'_>, (for_ms,): (u32,)| {
        let state = store.data_mut();
        state.charge()?;
        state.spent.remember_ms = for_ms;
        Ok(())
    })?;
    call.func_wrap("label", |store, (name,): (WasmStr,)| {
        find(store, &name, <Bound>::label)
    })?;
    call.func_wrap("header", |store, (name,): (WasmStr,)| {
        find(store, &name, <Bound>::header)
    })?;
    call.func_wrap("headers", |store, (): ()| pairs(store, <Bound>::headers))?;
    call.func_wrap("json", |store, (pointer,): (WasmStr,)| {
        find(store, &pointer, <Bound>::json)
    })?;
    call.func_wrap("messages", |mut store: Caller<'_>, (): ()| {
        let size =
            |messages: &Vec<Message>| messages.iter().map(|message| message.text.len()).sum();
        Ok((store.data_mut().ask(size, <Bound>::messages)?,))
    })?;
    call.func_wrap("body", |mut store: Caller<'_>, (): ()| {
        Ok((store.data_mut().ask(Bytes::len, <Bound>::body)?,))
    })?;
    if release >= Release::V0_2 {
        call.func_wrap("query", |store, (): ()| pairs(store, <Bound>::query))?;
    }
    Ok(())
}

fn channels(channels: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    channels.func_wrap("name", |store, (channel,): (u32,)| {
        shared(store, |call| call.channel_name(channel))
    })?;
    channels.func_wrap("provider", |store, (channel,): (u32,)| {
        text(store, |call| call.channel_provider(channel))
    })?;
    channels.func_wrap("model", |store, (channel,): (u32,)| {
        text(store, |call| call.channel_model(channel))
    })?;
    channels.func_wrap("label", |store, (channel, name): (u32, WasmStr)| {
        find(store, &name, |call, name| call.channel_label(channel, name))
    })
}

fn metrics(metrics: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    metrics.func_wrap(
        "count",
        |store: Caller<'_>, (name, by, labels): (WasmStr, u32, Lifted)| {
            measure(store, &name, &labels, |state, name, labels| {
                state.services.count(state.who(), name, by, labels);
            })
        },
    )?;
    metrics.func_wrap(
        "observe",
        |store: Caller<'_>, (name, value, labels): (WasmStr, f64, Lifted)| {
            measure(store, &name, &labels, |state, name, labels| {
                state.services.observe(state.who(), name, value, labels);
            })
        },
    )
}

fn models(models: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    use wit::models::Host;
    type Asked = (String, Vec<Message>, u32);
    type Answered = (Result<Completion, String>,);
    models.func_wrap_async(
        "complete",
        |mut store: Caller<'_>, (model, messages, max_output_tokens): Asked| {
            Box::new(async move {
                let state = store.data_mut();
                let answer = Host::complete(state, model, messages, max_output_tokens).await?;
                let answer: Answered = (answer,);
                Ok(answer)
            })
        },
    )?;
    models.func_wrap_async(
        "count-tokens",
        |mut store: Caller<'_>, (model, text): (String, String)| {
            Box::new(async move {
                let tokens: u32 = Host::count_tokens(store.data_mut(), model, text).await?;
                Ok((tokens,))
            })
        },
    )
}

fn http(http: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    http.func_wrap_async(
        "send",
        |mut store: Caller<'_>, (request,): (HttpRequest,)| {
            Box::new(async move {
                let answer = wit::http::Host::send(store.data_mut(), request).await?;
                let answer: (Result<Response, String>,) = (answer,);
                Ok(answer)
            })
        },
    )
}

fn text(mut store: Caller<'_>, ask: impl FnOnce(&Bound) -> String) -> wasmtime::Result<(String,)> {
    Ok((store.data_mut().ask(String::len, ask)?,))
}

fn shared(
    mut store: Caller<'_>,
    ask: impl FnOnce(&Bound) -> Arc<str>,
) -> wasmtime::Result<(Arc<str>,)> {
    Ok((store.data_mut().ask(|text| text.len(), ask)?,))
}

fn pairs(
    mut store: Caller<'_>,
    ask: impl FnOnce(&Bound) -> Vec<(String, String)>,
) -> wasmtime::Result<(Vec<(String, String)>,)> {
    let size = |pairs: &Vec<(String, String)>| {
        pairs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    };
    Ok((store.data_mut().ask(size, ask)?,))
}

fn find(
    mut store: Caller<'_>,
    name: &WasmStr,
    find: impl Fn(&Bound, &str) -> Option<String>,
) -> wasmtime::Result<(Option<String>,)> {
    store.data_mut().charge()?;
    let found = match &store.data().call {
        Some(call) => find(&**call, &name.to_str(&store)?),
        None => None,
    };
    store
        .data_mut()
        .charge_bytes(found.as_ref().map_or(0, String::len))?;
    Ok((found,))
}

/// Labels where they lie in the guest's memory: too many of them are never copied.
type Lifted = WasmList<(String, String)>;

fn measure(
    mut store: Caller<'_>,
    name: &WasmStr,
    labels: &Lifted,
    record: impl Fn(&State, &str, &Labels),
) -> wasmtime::Result<()> {
    if !store.data_mut().may_measure(labels.len())? {
        return Ok(());
    }
    let labels = labels
        .iter(&mut store)?
        .collect::<wasmtime::Result<Labels>>()?;
    record(store.data(), &name.to_str(&store)?, &labels);
    Ok(())
}

impl State {
    /// What an accessor of `call` answers; empty where no call is bound.
    fn ask<T: Default>(
        &mut self,
        size: impl Fn(&T) -> usize,
        ask: impl FnOnce(&Bound) -> T,
    ) -> wasmtime::Result<T> {
        self.charge()?;
        let answer = self.call.as_deref().map_or_else(T::default, ask);
        self.charge_bytes(size(&answer))?;
        Ok(answer)
    }
}
