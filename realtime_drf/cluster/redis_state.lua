-- Calls of RedisStore, each one atomic. state.py documents them; memory_state.py does the same in
-- Python.
--
-- KEYS[1]  what the names of all keys start with
-- ARGV     the call's name, the time in microseconds or "" for Redis's own, and its arguments
--
-- last                  the number of the last call
-- leases                node -> until when it counts as alive (sorted set)
-- since                 node -> the number of its first call (hash)
-- node:<node>           channel -> how many connections of the node (hash)
-- users:<node>:<channel>  user ids (set)
-- names                 occupied channels (sorted set, by name)
-- counts, versions      channel -> how many connections, the number of the last change (hashes)
-- infos:<channel>       user id -> the user's info (hash)
-- nodes:<channel>       user id -> on how many nodes (hash)
-- changed               channel -> the number of the last change, vacant ones too (sorted set)
-- forgotten             the last number of those that are no longer in `changed`
-- pending               channel, line feed, user id or nothing -> since when gone (sorted set)
-- cache:<channel>       the last event (string)

local call = redis.call
local cursor = 0

local function argument()
  cursor = cursor + 1
  return ARGV[cursor]
end

local function number_argument()
  return tonumber(argument())
end

local function key(...)
  return table.concat({KEYS[1], ...}, ':')
end

-- Lua writes large numbers in a form that loses digits.
local function text(number)
  return string.format('%.0f', number)
end

local name = argument()
local now = tonumber(argument())
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
local last = tonumber(call('GET', key('last')))
local number

local function begin()
  number = math.max((last or 0) + 1, now)
  call('SET', key('last'), text(number))
end

-- Nodes

local function renew(node, lease)
  local since = tonumber(call('HGET', key('since'), node))
  if not since then
    since = number
    call('HSET', key('since'), node, text(since))
  end
  call('ZADD', key('leases'), text(now + lease), node)
  return since
end

local function is_any_alive()
  return call('ZCOUNT', key('leases'), '(' .. text(now), '+inf') > 0
end

-- Channels

local function count(channel)
  return tonumber(call('HGET', key('counts'), channel)) or 0
end

local function begin_change(channel)
  return {
    channel = channel,
    count = count(channel),
    previous = tonumber(call('HGET', key('versions'), channel)) or 0,
    joined = {},
    left = {},
  }
end

local function put_count(channel, node, new)
  local own = key('node', node)
  local before = tonumber(call('HGET', own, channel)) or 0
  if new == before then
    return
  end
  if new > 0 then
    call('HSET', own, channel, new)
  else
    call('HDEL', own, channel)
  end
  if call('HINCRBY', key('counts'), channel, new - before) == 0 then
    call('HDEL', key('counts'), channel)
  end
end

-- `infos` has the users who are on the channel on this node from now on.
local function put_members(change, node, infos)
  local channel = change.channel
  local users = key('users', node, channel)
  local known = {}
  for _, user in ipairs(call('SMEMBERS', users)) do
    known[user] = true
    if not infos[user] then
      call('SREM', users, user)
      if call('HINCRBY', key('nodes', channel), user, -1) == 0 then
        call('HDEL', key('nodes', channel), user)
        call('HDEL', key('infos', channel), user)
        table.insert(change.left, user)
      end
    end
  end
  for user, info in pairs(infos) do
    if not known[user] then
      call('SADD', users, user)
      if call('HINCRBY', key('nodes', channel), user, 1) == 1 then
        call('HSET', key('infos', channel), user, info)
        table.insert(change.joined, user)
      end
    end
  end
end

-- `turned` is 1 if the channel has become occupied, 0 if vacant, -1 if neither.
local function finish_change(change, is_counted, is_removed)
  local channel = change.channel
  local count = count(channel)
  change.turned = -1
  if count > 0 and change.count == 0 then
    change.turned = 1
    call('ZADD', key('names'), 0, channel)
  elseif count == 0 and change.count > 0 then
    change.turned = 0
    call('ZREM', key('names'), channel)
    call('HDEL', key('versions'), channel)
  end
  if is_removed or change.turned >= 0 or #change.joined > 0 or #change.left > 0
    or is_counted and count ~= change.count then
    call('ZADD', key('changed'), text(number), channel)
    if count > 0 then
      call('HSET', key('versions'), channel, text(number))
    end
  end
end

local UNCHANGED = {previous = 0, joined = {}, left = {}, turned = -1}

-- The change is given only by a call that made one.
local function get_state(channel, change)
  local version, there, infos = number or last or now - 1, count(channel), {}
  if not is_any_alive() then
    there = 0
  end
  if there > 0 then
    version = tonumber(call('HGET', key('versions'), channel))
    infos = call('HGETALL', key('infos', channel))
  end
  change = change or UNCHANGED
  return {channel, version, there, infos, change.previous, change.joined, change.left, change.turned}
end

-- Reports

local function milliseconds()
  return math.floor(now / 1000)
end

local function report(change, reports)
  local start = change.channel .. '\n'
  local function report_joined(user)
    -- Not a user who had just left.
    if call('ZREM', key('pending'), start .. user) == 0 then
      table.insert(reports, change.channel)
      table.insert(reports, user)
    end
  end
  local function delay_left(user)
    call('ZADD', key('pending'), text(milliseconds()), start .. user)
  end
  if change.turned == 1 then
    report_joined('')
  end
  for _, user in ipairs(change.joined) do
    report_joined(user)
  end
  for _, user in ipairs(change.left) do
    delay_left(user)
  end
  if change.turned == 0 then
    delay_left('')
  end
end

-- Calls

local function sync(node, lease)
  begin()
  local since = renew(node, lease)
  local states, reports = {}, {}
  while cursor < #ARGV do
    local channel, count, is_counted = argument(), number_argument(), argument() == '1'
    local infos = {}
    for _ = 1, number_argument() do
      local user = argument()
      infos[user] = argument()
    end
    local change = begin_change(channel)
    put_count(channel, node, count)
    put_members(change, node, infos)
    finish_change(change, is_counted)
    report(change, reports)
    table.insert(states, get_state(channel, change))
  end
  return {states, reports, milliseconds(), number, since}
end

local function remove_dead_nodes()
  local changes = {}
  for _, node in ipairs(call('ZRANGEBYSCORE', key('leases'), '-inf', text(now))) do
    for _, channel in ipairs(call('HKEYS', key('node', node))) do
      changes[channel] = changes[channel] or begin_change(channel)
      put_count(channel, node, 0)
      put_members(changes[channel], node, {})
    end
    call('ZREM', key('leases'), node)
    call('HDEL', key('since'), node)
  end
  for _, change in pairs(changes) do
    finish_change(change, false, true)
    report(change, {})
  end
end

local function find_changed(since)
  local changed = {}
  local found = call('ZRANGEBYSCORE', key('changed'), '(' .. text(since), '+inf', 'WITHSCORES')
  for index = 1, #found, 2 do
    table.insert(changed, found[index])
    table.insert(changed, tonumber(found[index + 1]))
  end
  return changed
end

local function forget_changes(horizon)
  local latest = call(
    'ZREVRANGEBYSCORE', key('changed'), '(' .. text(horizon), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #latest > 0 then
    call('SET', key('forgotten'), latest[2])
    call('ZREMRANGEBYSCORE', key('changed'), '-inf', '(' .. text(horizon))
  end
end

local function pop_due(delay)
  local due = {}
  local until_ = text(milliseconds() - delay)
  local found = call('ZRANGEBYSCORE', key('pending'), '-inf', until_, 'WITHSCORES')
  for index = 1, #found, 2 do
    table.insert(due, found[index])
    table.insert(due, tonumber(found[index + 1]))
  end
  call('ZREMRANGEBYSCORE', key('pending'), '-inf', until_)
  return due
end

local function heartbeat(node, lease, since, kept_for, delay)
  begin()
  local known_since = renew(node, lease)
  since = math.max(since, known_since)
  if since < (tonumber(call('GET', key('forgotten'))) or 0) then
    since, known_since = number, number
    call('HSET', key('since'), node, text(number))
  end
  remove_dead_nodes()
  local changed = find_changed(since)
  forget_changes(now - kept_for)
  return {changed, pop_due(delay), number, known_since}
end

local function read()
  local states = {}
  while cursor < #ARGV do
    table.insert(states, get_state(argument()))
  end
  return states
end

local function find(prefix)
  local states = {}
  if is_any_alive() then
    local first, behind = '[' .. prefix, '(' .. prefix .. '\255'
    for _, channel in ipairs(call('ZRANGEBYLEX', key('names'), first, behind)) do
      table.insert(states, get_state(channel))
    end
  end
  return states
end

local function remember(kept_for, age)
  while cursor < #ARGV do
    local cached, event = key('cache', argument()), argument()
    local left = age > 0 and call('PTTL', cached) or -1
    -- Not if a later event was kept while this one waited.
    if left < 0 or kept_for - left >= age then
      call('SET', cached, event, 'PX', kept_for)
    end
  end
end

if name == 'sync' then
  return sync(argument(), number_argument())
elseif name == 'heartbeat' then
  return heartbeat(
    argument(), number_argument(), number_argument(), number_argument(), number_argument())
elseif name == 'read' then
  return read()
elseif name == 'find' then
  return find(argument())
elseif name == 'remember' then
  return remember(number_argument(), number_argument())
elseif name == 'recall' then
  return call('GET', key('cache', argument()))
end
