# The engine's calls on Windows: included by CMakeLists.txt of this folder.
set(callers
    base/clock_win.c
    base/process_win.c
    base/sink_win.c
    base/thread_win.c
    broker/control_watch_win.c
    broker/service_place_win.c
    broker/service_run_win.c
    broker/service_win.c
    broker/startup_win.c
    client/launch_win.c
    client/pin_win.c
    client/waitable_win.c
    engine/iocp.c
    engine/iocp_accept.c
    engine/iocp_datagram.c
    engine/iocp_identity.c
    engine/iocp_name.c
    engine/iocp_pipe.c
    engine/iocp_socket.c
    engine/iocp_stream.c
    engine/opener_win.c)
list(TRANSFORM callers PREPEND "${PROJECT_SOURCE_DIR}/")
# what more there is of sluiced
set(program complaint.c control.c control_watch.c main.c run.c startup_watch.c)
list(TRANSFORM program PREPEND "${PROJECT_SOURCE_DIR}/broker/")
set_property(SOURCE "${PROJECT_SOURCE_DIR}/broker/main.c" APPEND PROPERTY
    COMPILE_OPTIONS -Dmain=sluiced_main -Wno-missing-prototypes)

add_executable(fault_calls
    act_client.c
    act_behalf.c
    act_endpoint.c
    act_engine.c
    act_opener.c
    act_win.c
    drive.c
    exceptions_win.c
    fault.c
    level_client.c
    level_engine.c
    level_program_win.c
    main.c
    scm_win.c
    script.c
    stubs_win.c
    ${callers}
    ${program})
target_link_libraries(fault_calls PRIVATE client_returns sluiced_config sluice_broker
    sluice_engine sluice_base sluice_options sluice::uv ws2_32 advapi32 shell32)
target_compile_options(fault_calls PRIVATE -O0 -g)
# Not audited: one thread does the I/O and tells of it, which the discipline forbids.
set_target_properties(fault_calls PROPERTIES SLUICE_AUDITED TRUE)
target_compile_definitions(fault_calls PRIVATE SLUICE_VERSION_TEXT="${PROJECT_VERSION}")

# The private broker that the library finds beside the program.
add_custom_command(TARGET fault_calls POST_BUILD
    COMMAND ${CMAKE_COMMAND} -E copy_if_different $<TARGET_FILE:sluiced>
            "${CMAKE_CURRENT_BINARY_DIR}")
add_dependencies(fault_calls sluiced)

fault_list_sites(fault_calls calls sites)
set(drive "")
if(CMAKE_HOST_UNIX)
    set(drive "Z:") # Wine's name for the root
endif()
add_test(NAME fault.calls.engine COMMAND fault_calls "${drive}${sites}" engine --hits 1)
add_test(NAME fault.calls.client COMMAND fault_calls "${drive}${sites}" client --claims)
add_test(NAME fault.calls.program COMMAND fault_calls "${drive}${sites}" program --claims)
set_tests_properties(fault.calls.engine fault.calls.client fault.calls.program
    PROPERTIES LABELS fault TIMEOUT 300)

# Every allocation fails once, and from then on. What allocates is compiled once more, likewise;
# but for sluiced's own (broker/control.c): on Linux.
set(allocators
    base/heap.c
    base/log.c
    base/slots.c
    base/thread_win.c
    broker/broker.c
    broker/chunk.c
    broker/op.c
    broker/session.c
    broker/user.c
    client/call.c
    client/core.c
    client/handles.c
    client/launcher.c
    client/link.c
    client/look.c
    client/pool.c
    client/session.c
    engine/engine.c
    engine/opener.c
    engine/worker.c
    proto/arena.c)
list(TRANSFORM allocators PREPEND "${PROJECT_SOURCE_DIR}/")
add_executable(fault_memory
    act_client.c
    act_behalf.c
    act_endpoint.c
    act_engine.c
    act_opener.c
    act_win.c
    fault.c
    level_client.c
    level_engine.c
    level_late.c
    memory.c
    script.c
    stubs_memory.c
    ${allocators})
target_link_libraries(fault_memory PRIVATE client_returns sluice_broker sluice_engine
    sluice_base sluice_options ws2_32 advapi32)
target_compile_options(fault_memory PRIVATE -O0 -g)
target_link_options(fault_memory PRIVATE -Wl,--wrap=sl_account_alloc
    -Wl,--wrap=sl_allocator_system)
set_target_properties(fault_memory PROPERTIES SLUICE_AUDITED TRUE)
target_compile_definitions(fault_memory
    PRIVATE "FAULT_LEVELS=&level_engine, &level_client, &level_late")
set_property(SOURCE "${PROJECT_SOURCE_DIR}/engine/engine.c" APPEND PROPERTY
    COMPILE_DEFINITIONS "ENGINE_BUILTIN_BACKENDS=&engine_backend_iocp")
add_dependencies(fault_memory fault_calls) # its private broker

fault_list_sites(fault_memory memory sites)
add_test(NAME fault.memory COMMAND fault_memory "${drive}${sites}" --brief)
set_tests_properties(fault.memory PROPERTIES LABELS fault TIMEOUT 300)
sluice_needs_localhost(fault.calls.engine fault.calls.client fault.memory)

# Nothing that calls the system escapes.
sluice_list_objects("${CMAKE_CURRENT_BINARY_DIR}/objects.txt" sluice_base sluice_engine sluice_proto
    sluice_broker sluice_client sluiced sluiced_config)
add_test(NAME fault.imports
    COMMAND ${CMAKE_COMMAND} -E env NM=${CMAKE_NM} "${CMAKE_CURRENT_SOURCE_DIR}/imports.sh"
            "${CMAKE_CURRENT_BINARY_DIR}/objects.txt" "${CMAKE_CURRENT_SOURCE_DIR}/calls_win.h"
            "${CMAKE_CURRENT_SOURCE_DIR}/exempt_win.txt" ${callers})
set_tests_properties(fault.imports PROPERTIES LABELS "fault;fast" TIMEOUT 120)
