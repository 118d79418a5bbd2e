-- The load, for wrk: the same POST on every connection, as often as the gateway answers.
-- LOAD_BODY names the file with the body, LOAD_KEY the virtual key. Prints one line of JSON.
local file = assert(io.open(os.getenv("LOAD_BODY"), "rb"))
local post

function init()
  post = wrk.format("POST", nil, {
    ["Host"] = wrk.headers["Host"],
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. os.getenv("LOAD_KEY"),
  }, file:read("*a"))
end

function request()
  return post
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\n{"requests": %d, "seconds": %.6f, "p50_us": %.0f, "p99_us": %.0f, "not_200": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
