/*
 * calls_win.h - the calls of our Windows engine to the system, and what each may plausibly say.
 *
 *     X(name, how, E(CODE) ...)
 *
 * Their errors are those that come at once. What a packet says later is not a call's.
 * A name that our objects import and that is neither here nor in exempt_win.txt is a finding of the
 * test fault.imports. Included several times, with X and E defined.
 */
#define FAULT_CALLS(X) \
    X(AssignProcessToJobObject, NULL, E(ERROR_ACCESS_DENIED), E(ERROR_NOT_ENOUGH_QUOTA)) \
    X(CancelIoEx, DONE_NULL, E(ERROR_NOT_FOUND)) \
    X(CancelSynchronousIo, DONE_NULL, E(ERROR_NOT_FOUND)) \
    X(CheckTokenMembership, NULL, E(ERROR_NOT_ENOUGH_MEMORY)) \
    X(CloseHandle, DONE_NULL, E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(ConnectNamedPipe, NULL, E(ERROR_NO_SYSTEM_RESOURCES), E(ERROR_NOT_ENOUGH_QUOTA)) \
    X(ConvertSidToStringSidW, NULL, E(ERROR_NOT_ENOUGH_MEMORY)) \
    X(ConvertStringSecurityDescriptorToSecurityDescriptorW, NULL, E(ERROR_NOT_ENOUGH_MEMORY), \
      E(ERROR_INVALID_ACL)) \
    X(CreateEventW, NULL, E(ERROR_NOT_ENOUGH_MEMORY), E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(CreateFileW, ERRNO, E(ERROR_PIPE_BUSY), E(ERROR_FILE_NOT_FOUND), E(ERROR_ACCESS_DENIED), \
      E(ERROR_NOT_ENOUGH_MEMORY), E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(CreateIoCompletionPort, NULL, E(ERROR_NOT_ENOUGH_MEMORY), E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(CreateJobObjectW, NULL, E(ERROR_NOT_ENOUGH_MEMORY), E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(CreateNamedPipeW, ERRNO, E(ERROR_ACCESS_DENIED), E(ERROR_PIPE_BUSY), \
      E(ERROR_NOT_ENOUGH_MEMORY), E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(CreateProcessW, NULL, E(ERROR_FILE_NOT_FOUND), E(ERROR_ACCESS_DENIED), \
      E(ERROR_BAD_EXE_FORMAT), E(ERROR_NOT_ENOUGH_MEMORY), E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(GetActiveProcessorCount, NULL, E(ERROR_INVALID_PARAMETER)) \
    X(GetAddrInfoW, CODE, E(WSAHOST_NOT_FOUND), E(WSATRY_AGAIN), E(WSANO_RECOVERY), \
      E(ERROR_NOT_ENOUGH_MEMORY)) \
    X(GetFileAttributesW, ERRNO, E(ERROR_FILE_NOT_FOUND), E(ERROR_ACCESS_DENIED)) \
    X(GetKernelObjectSecurity, NULL, E(ERROR_ACCESS_DENIED), E(ERROR_PIPE_NOT_CONNECTED), \
      E(ERROR_INSUFFICIENT_BUFFER)) \
    X(GetModuleFileNameW, NULL, E(ERROR_NOT_ENOUGH_MEMORY)) \
    X(GetModuleHandleExW, NULL, E(ERROR_MOD_NOT_FOUND)) \
    X(GetModuleHandleW, NULL, E(ERROR_MOD_NOT_FOUND)) \
    X(GetNamedPipeClientProcessId, NULL, E(ERROR_PIPE_NOT_CONNECTED)) \
    X(GetNamedPipeServerProcessId, NULL, E(ERROR_PIPE_NOT_CONNECTED)) \
    X(GetProcAddress, NULL, E(ERROR_PROC_NOT_FOUND)) \
    X(GetProcessAffinityMask, NULL, E(ERROR_ACCESS_DENIED)) \
    X(GetQueuedCompletionStatusEx, NULL, E(WAIT_TIMEOUT)) \
    X(GetTokenInformation, NULL, E(ERROR_NOT_ENOUGH_MEMORY)) \
    X(ImpersonateNamedPipeClient, NULL, E(ERROR_CANNOT_IMPERSONATE), E(ERROR_BROKEN_PIPE), \
      E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(OpenProcessToken, NULL, E(ERROR_NOT_ENOUGH_MEMORY)) \
    X(OpenThreadToken, NULL, E(ERROR_CANT_OPEN_ANONYMOUS), E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(PostQueuedCompletionStatus, NULL, E(ERROR_NOT_ENOUGH_MEMORY), \
      E(ERROR_NO_SYSTEM_RESOURCES)) \
    X(ReadFile, NULL, E(ERROR_NO_SYSTEM_RESOURCES), E(ERROR_NOT_ENOUGH_QUOTA), \
      E(ERROR_NOT_ENOUGH_MEMORY)) \
    X(ResumeThread, ERRNO, E(ERROR_ACCESS_DENIED)) \
    X(SetInformationJobObject, NULL, E(ERROR_NOT_ENOUGH_MEMORY), E(ERROR_ACCESS_DENIED)) \
    X(SetThreadAffinityMask, NULL, E(ERROR_INVALID_PARAMETER)) \
    X(TerminateProcess, DONE_NULL, E(ERROR_ACCESS_DENIED)) \
    X(WSAIoctl, ERRNO, E(WSAENOBUFS), E(WSAEOPNOTSUPP)) \
    X(WSARecv, ERRNO, E(WSAECONNRESET), E(WSAENOBUFS), E(WSAENETRESET)) \
    X(WSARecvFrom, ERRNO, E(WSAECONNRESET), E(WSAENOBUFS)) \
    X(WSASend, ERRNO, E(WSAECONNRESET), E(WSAENOBUFS), E(WSAECONNABORTED)) \
    X(WSASendTo, ERRNO, E(WSAENOBUFS), E(WSAEHOSTUNREACH), E(WSAEACCES)) \
    X(WSASocketW, ERRNO, E(WSAEMFILE), E(WSAENOBUFS), E(WSAEAFNOSUPPORT)) \
    X(WSAStartup, CODE, E(WSASYSNOTREADY), E(WSAEPROCLIM)) \
    X(WriteFile, NULL, E(ERROR_NO_DATA), E(ERROR_NO_SYSTEM_RESOURCES), \
      E(ERROR_NOT_ENOUGH_QUOTA)) \
    X(_beginthreadex, NULL, E(ERROR_NOT_ENOUGH_MEMORY)) \
    X(bind, ERRNO, E(WSAEADDRINUSE), E(WSAEACCES), E(WSAEADDRNOTAVAIL), E(WSAENOBUFS)) \
    X(closesocket, DONE, E(WSAENETDOWN)) \
    X(getsockname, ERRNO, E(WSAENOBUFS)) \
    X(listen, ERRNO, E(WSAEADDRINUSE), E(WSAEMFILE), E(WSAENOBUFS)) \
    X(setsockopt, ERRNO, E(WSAENOBUFS), E(WSAEINVAL)) \
    X(shutdown, ERRNO, E(WSAENOTCONN), E(WSAENOBUFS))

/* They come from WSAIoctl, and lie in the engine. */
#define FAULT_EXTENSIONS(X) \
        X(AcceptEx, NULL, E(WSAECONNRESET), E(WSAENOBUFS), E(WSAEMFILE)) \
        X(ConnectEx, NULL, E(WSAECONNREFUSED), E(WSAEADDRNOTAVAIL), E(WSAENETUNREACH), \
          E(WSAENOBUFS), E(WSAEACCES))
