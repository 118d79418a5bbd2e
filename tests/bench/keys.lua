-- The load of policies.py, for wrk: chats by many virtual keys in turn. LOAD_CALLS names a file with a
-- key and a model on each line. Prints one line of JSON.
local posts, at = {}, 0

function init()
  for line in io.lines(os.getenv("LOAD_CALLS")) do
    local key, model = line:match("^(%S+) (%S+)$")
    posts[#posts + 1] = wrk.format("POST", "/v1/chat/completions", {
      ["Host"] = wrk.headers["Host"],
      ["Content-Type"] = "application/json",
      ["Authorization"] = "Bearer " .. key,
    }, '{"model":"' .. model .. '","messages":[{"role":"user","content":"Hello"}]}')
  end
end

function request()
  at = at % #posts + 1
  return posts[at]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\n{"requests": %d, "seconds": %.6f, "p50_us": %.0f, "p99_us": %.0f, "max_us": %.0f, "not_200": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max, e.status,
    e.connect + e.read + e.write + e.timeout))
end
