# The program sluiced: command line, start-up, control loop, service. Included by CMakeLists.txt of
# this folder (include(sluiced.cmake)), which makes the core, sluice_broker.

# Pure: what the unit tests of tests/sluiced link.
add_library(sluiced_config STATIC
    ${CMAKE_CURRENT_LIST_DIR}/config.c
    ${CMAKE_CURRENT_LIST_DIR}/suggest.c
    ${CMAKE_CURRENT_LIST_DIR}/options.c
    ${CMAKE_CURRENT_LIST_DIR}/usage.c)
target_link_libraries(sluiced_config PUBLIC sluice_proto sluice_engine sluice_base sluice_options)
sluice_failpoints_copy(sluiced_config)

add_executable(sluiced
    ${CMAKE_CURRENT_LIST_DIR}/complaint.c
    ${CMAKE_CURRENT_LIST_DIR}/control.c
    ${CMAKE_CURRENT_LIST_DIR}/control_watch.c
    ${CMAKE_CURRENT_LIST_DIR}/main.c
    ${CMAKE_CURRENT_LIST_DIR}/run.c
    ${CMAKE_CURRENT_LIST_DIR}/startup_watch.c)
if(WIN32)
    target_sources(sluiced PRIVATE
        ${CMAKE_CURRENT_LIST_DIR}/control_watch_win.c
        ${CMAKE_CURRENT_LIST_DIR}/service_place_win.c
        ${CMAKE_CURRENT_LIST_DIR}/service_win.c
        ${CMAKE_CURRENT_LIST_DIR}/service_run_win.c
        ${CMAKE_CURRENT_LIST_DIR}/startup_win.c)
    target_link_libraries(sluiced PRIVATE shell32)
else()
    target_sources(sluiced PRIVATE
        ${CMAKE_CURRENT_LIST_DIR}/control_watch_posix.c
        ${CMAKE_CURRENT_LIST_DIR}/service_posix.c
        ${CMAKE_CURRENT_LIST_DIR}/startup_posix.c)
endif()
target_link_libraries(sluiced PRIVATE sluiced_config sluice_broker sluice::uv)
target_compile_definitions(sluiced PRIVATE SLUICE_VERSION_TEXT="${PROJECT_VERSION}")
sluice_failpoints_copy(sluiced)

include(GNUInstallDirs)
install(TARGETS sluiced RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT broker)
if(NOT WIN32)
    # It starts what is installed with it. Where that is, only the installation knows (--prefix).
    set(unit "${CMAKE_CURRENT_BINARY_DIR}/sluice.service")
    install(CODE "
        file(READ \"${PROJECT_SOURCE_DIR}/deploy/sluice.service\" text)
        string(REPLACE \"=/usr/local/bin/sluiced \"
            \"=\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/sluiced \" text \"\${text}\")
        file(WRITE \"${unit}\" \"\${text}\")" COMPONENT broker)
    install(FILES "${unit}" DESTINATION lib/systemd/system COMPONENT broker)
endif()
