/*
 * localhost.c - does this machine know the name "localhost"? Most do by a line of /etc/hosts; a
 * bare chroot or container may have none, and then look-ups of it fail in tests that are about
 * something else.
 */
#include <stdio.h>
#include <uv.h>

int main(void) {
    uv_getaddrinfo_t request;
    /* Without a callback libuv looks up on this thread (docs: uv_getaddrinfo). */
    int error = uv_getaddrinfo(uv_default_loop(), &request, NULL, "localhost", NULL, NULL);
    if (error != 0) {
        (void)printf("This machine does not know the name \"localhost\" (%s).\n"
                     "The tests that look it up are not run. Add \"127.0.0.1 localhost\" to its"
                     " hosts file.\n",
                     uv_strerror(error));
        return 1;
    }
    uv_freeaddrinfo(request.addrinfo);
    (void)printf("localhost is known\n");
    return 0;
}
