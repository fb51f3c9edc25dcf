# How programs get the library: headers, shared and static library, a CMake package (sluice::sluice
# and sluice::sluice_static), a pkg-config file. Nothing installed knows where it was built or where
# it was to go, so the tree may be moved as a whole. tests/install uses all of it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# ---- the static library: one object, in which only what exports.txt names is global --------------
# Thus protobuf-c, and names of ours such as engine_*, cannot meet a program's own. It takes the
# linker and objcopy of binutils; without them (MSVC, clang for Windows), or with the sanitizers'
# objects or those of SLUICE_LTO, which are no machine code, there is only the shared one.

# The archive behind a target of dependencies.cmake, or "".
function(archive_of target ret_archive)
    set(${ret_archive} "" PARENT_SCOPE)
    while(TARGET ${target})
        get_target_property(type ${target} TYPE)
        if(NOT type STREQUAL "INTERFACE_LIBRARY")
            set(${ret_archive} "$<TARGET_FILE:${target}>" PARENT_SCOPE)
            return()
        endif()
        get_target_property(target ${target} INTERFACE_LINK_LIBRARIES)
        list(GET target 0 target)
    endwhile()
    if(target MATCHES "\\.a$")
        set(${ret_archive} "${target}" PARENT_SCOPE)
    endif()
endfunction()

archive_of(sluice::protobuf-c protobuf_c)
if(protobuf_c AND CMAKE_OBJCOPY AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT SLUICE_SANITIZE
    AND NOT SLUICE_LTO)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/sluice_whole${CMAKE_C_OUTPUT_EXTENSION}")
    set(parts sluice_proto sluice_engine sluice_base)
    list(TRANSFORM parts REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE files)
    add_custom_command(OUTPUT "${object}"
        COMMAND "${CMAKE_LINKER}" -r -o "${object}" $<TARGET_OBJECTS:sluice_client>
            --start-group ${files} "${protobuf_c}" --end-group
        COMMAND "${CMAKE_OBJCOPY}" "--keep-global-symbols=${CMAKE_CURRENT_SOURCE_DIR}/exports.txt"
            "${object}"
        DEPENDS sluice_client $<TARGET_OBJECTS:sluice_client> ${parts} exports.txt
        COMMENT "Joining the static library's objects" COMMAND_EXPAND_LISTS VERBATIM)
    add_library(sluice_client_archive STATIC "${object}")
    set_target_properties(sluice_client_archive PROPERTIES OUTPUT_NAME sluice LINKER_LANGUAGE C
        EXPORT_NAME sluice_static)
    if(WIN32)
        target_link_libraries(sluice_client_archive INTERFACE ws2_32 advapi32)
    else()
        target_link_libraries(sluice_client_archive INTERFACE Threads::Threads)
    endif()
else()
    message(STATUS "No static library to install: see client/package.cmake")
endif()

# ---- what is installed ---------------------------------------------------------------------------
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/sluice")
add_library(sluice::sluice ALIAS sluice_client_shared)
set_target_properties(sluice_client_shared PROPERTIES EXPORT_NAME sluice)
set(libraries sluice_client_shared)
if(TARGET sluice_client_archive)
    list(APPEND libraries sluice_client_archive)
endif()
install(TARGETS ${libraries} EXPORT sluice
    RUNTIME COMPONENT library
    LIBRARY COMPONENT library NAMELINK_COMPONENT development
    ARCHIVE COMPONENT development
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY include/sluice DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development
    FILES_MATCHING PATTERN "*.h")
install(EXPORT sluice NAMESPACE sluice:: FILE sluice-targets.cmake DESTINATION "${package}"
    COMPONENT development)
configure_package_config_file(sluice-config.cmake.in sluice-config.cmake
    INSTALL_DESTINATION "${package}" NO_SET_AND_CHECK_MACRO)
# While the ABI is 0 nothing is promised from one minor version to the next.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/sluice-config-version.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/sluice-config.cmake"
    "${CMAKE_CURRENT_BINARY_DIR}/sluice-config-version.cmake"
    DESTINATION "${package}" COMPONENT development)

# From the .pc file's own folder up to the prefix, or the prefix as it stands.
set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
set(pc_libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
set(pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" AND NOT IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
    string(REGEX REPLACE "/$" "" up "${up}")
    set(pc_prefix "\${pcfiledir}/${up}")
    set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
if(WIN32)
    set(pc_private "-lws2_32 -ladvapi32")
else()
    set(pc_private "-pthread")
endif()
configure_file(sluice.pc.in sluice.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/sluice.pc"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT development)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}"
    COMPONENT library)
# What the headers name.
install(FILES "${PROJECT_SOURCE_DIR}/docs/abi.md" "${PROJECT_SOURCE_DIR}/docs/errors.md"
    DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT development)
