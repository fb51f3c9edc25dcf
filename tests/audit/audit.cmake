# sluice_audit_target(TARGET): links a test executable of the Windows build with the interposer of
# the run-time audit (docs/audit.md). It must not be timed. Elsewhere, and twice, it does nothing.

function(sluice_audit_target target)
    if(NOT TARGET sluice_audit)
        return()
    endif()
    get_target_property(done ${target} SLUICE_AUDITED)
    if(done)
        return()
    endif()
    set_target_properties(${target} PROPERTIES SLUICE_AUDITED TRUE)
    # Objects, not an archive: they must win over the import libraries whether or not they are
    # asked for.
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:sluice_audit>)
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests/audit")
    target_compile_definitions(${target} PRIVATE SLUICE_AUDIT)
    target_link_libraries(${target} PRIVATE ntdll ws2_32)
endfunction()
