-- Text deltas and command output for watchers on other replicas than the one that drives the task. Nothing here is
-- kept for long or missed when it is lost: neither table is logged, and only the worker role sees them.

-- Which tasks the watchers of a replica follow, and until when that is to be believed.
CREATE UNLOGGED TABLE task_watches (
    task uuid NOT NULL,
    replica uuid NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (task, replica)
);

CREATE UNLOGGED TABLE live_pieces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task uuid NOT NULL,
    -- The last seq of the task's log when the piece was made: it is of no use beside a later event.
    after bigint NOT NULL,
    kind text NOT NULL,
    data text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX live_pieces_task ON live_pieces (task, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON task_watches, live_pieces TO journeyman_worker;
