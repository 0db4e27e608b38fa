-- wrk's request, as many times over as the first argument says, in one write:
--   wrk ... -s pipeline.lua URL -- 16
-- wrk counts the answers it expects from what request() returns.
local burst

function init(args)
    local depth = tonumber(args[1])
    local requests = {}
    for i = 1, depth do
        requests[i] = wrk.format()
    end
    burst = table.concat(requests)
end

function request()
    return burst
end
