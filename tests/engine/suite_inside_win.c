/*
 * suite_inside_win.c - what can only be provoked from inside the iocp backend: a connect to which
 * the system gives the very port that it is for.
 */
#include "engine/iocp.h"
#include "tests/engine/rig.h"

static LPFN_CONNECTEX true_connect;

/* The socket is bound already: what is asked for becomes what it got. */
static BOOL PASCAL connect_to_there(SOCKET socket, const struct sockaddr *address, int length,
                                    PVOID bytes, DWORD size, LPDWORD ret_sent,
                                    LPOVERLAPPED overlapped) {
    iocp_request *r =
        engine_iocp_request_of_op(SL_CONTAINER_OF(overlapped, iocp_op, overlapped));
    engine_address bound;
    EXPECT(engine_iocp_bound_to(socket, &bound) == 0);
    EXPECT((const void *)address == (const void *)&r->socket_address);
    r->request.address.port = bound.port;
    EXPECT(engine_iocp_to_sockaddr(&r->request.address, &r->socket_address) == length);
    return true_connect(socket, address, length, bytes, size, ret_sent, overlapped);
}

static void connected_to_itself(void) {
    static const uint8_t loopback6[16] = {[15] = 1};
    if (!t_is_backend("iocp")) {
        T_SKIP("it looks into the iocp backend");
    }
    rig *r = rig_open();
    iocp_engine *e = engine_iocp_engine(r->worker);
    engine_address addresses[2];
    engine_address_loopback(&addresses[0], 1);
    engine_address_ipv6(&addresses[1], loopback6, 0, 1);
    true_connect = e->connect_ex;
    e->connect_ex = connect_to_there;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(addresses); i++) {
        engine_request_id id = 0;
        EXPECT_STATUS(engine_connect(r->worker, &addresses[i], rig_after_ns(r, T_AWAIT_NS), NULL,
                                     NULL, &id),
                      SLUICE_OK);
        engine_completion completion = rig_await(r, id);
        if (completion.status != SLUICE_EUNREACHABLE || i == 0) { /* there may be no IPv6 */
            EXPECT_STATUS(completion.status, SLUICE_EREFUSED);
        }
        EXPECT(completion.os_error != 0 && completion.opened[0] == NULL);
    }
    e->connect_ex = true_connect;
    rig_close(r);
}

static const t_case cases[] = {
    {"connected_to_itself", 0, connected_to_itself},
};

const t_suite suite_inside = {"inside", cases, SL_ARRAY_COUNT(cases)};
