# The engine's calls on Windows: included by CMakeLists.txt of this folder.
set(callers
    base/clock_win.c
    base/thread_win.c
    engine/iocp.c
    engine/iocp_identity.c
    engine/iocp_pipe.c
    engine/iocp_socket.c
    engine/iocp_stream.c
    engine/opener_win.c)
list(TRANSFORM callers PREPEND "${PROJECT_SOURCE_DIR}/")

add_executable(fault_calls
    act_endpoint.c
    act_engine.c
    act_win.c
    drive.c
    exceptions_win.c
    fault.c
    level_engine.c
    main.c
    script.c
    stubs_win.c
    ${callers})
target_link_libraries(fault_calls PRIVATE sluice_engine sluice_base sluice_options ws2_32 advapi32)
target_compile_options(fault_calls PRIVATE -O0 -g)
# Not audited: one thread does the I/O and tells of it, which the discipline forbids.
set_target_properties(fault_calls PROPERTIES SLUICE_AUDITED TRUE)
target_compile_definitions(fault_calls PRIVATE FAULT_LEVELS=&level_engine)

set(sites "${CMAKE_CURRENT_BINARY_DIR}/sites.txt")
add_custom_command(TARGET fault_calls POST_BUILD
    COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/sites.sh" "${CMAKE_OBJDUMP}" $<TARGET_FILE:fault_calls>
            "${PROJECT_SOURCE_DIR}/" calls "${sites}"
    VERBATIM)
set(drive "")
if(CMAKE_HOST_UNIX)
    set(drive "Z:") # Wine's name for the root
endif()
add_test(NAME fault.calls.engine COMMAND fault_calls "${drive}${sites}" engine --hits 1)
set_tests_properties(fault.calls.engine PROPERTIES LABELS fault TIMEOUT 300)

# Nothing that calls the system escapes.
set(objects "$<JOIN:$<TARGET_OBJECTS:sluice_engine>,\n>\n$<JOIN:$<TARGET_OBJECTS:sluice_base>,\n>")
file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/objects.txt" CONTENT "${objects}\n")
add_test(NAME fault.imports
    COMMAND ${CMAKE_COMMAND} -E env NM=${CMAKE_NM} "${CMAKE_CURRENT_SOURCE_DIR}/imports.sh"
            "${CMAKE_CURRENT_BINARY_DIR}/objects.txt" "${CMAKE_CURRENT_SOURCE_DIR}/calls_win.h"
            "${CMAKE_CURRENT_SOURCE_DIR}/exempt_win.txt" ${callers} base/sink_win.c)
set_tests_properties(fault.imports PROPERTIES LABELS fault TIMEOUT 120)
