# The one place that knows where libuv, protobuf-c and cmocka come from. It defines
#     sluice::uv  sluice::protobuf-c  sluice::cmocka     imported targets
#     SLUICE_PROTOC_C                                    the protobuf-c compiler (runs here)
# and tries, in this order:
#     config     a CMake package (vcpkg, a newer distribution, your own build)
#     pkgconfig  pkg-config (Debian's native libraries); not when cross-compiling: it would answer
#                for the wrong machine
#     prefix     what deploy/bootstrap-windows-deps.sh built (or -DSLUICE_DEPS_PREFIX=...)
#     source     source tarballs in the cache, compiled now, into this build directory
# -DSLUICE_DEPS_STEPS="source" and the like narrow the search.

set(SLUICE_DEPS_STEPS "config;pkgconfig;prefix;source"
    CACHE STRING "Where to look for libraries, in order")
set(SLUICE_DEPS_PREFIX "" CACHE PATH "Where the libraries are installed (include/, lib/)")
set(SLUICE_SOURCES_DIR "" CACHE PATH "Where source tarballs lie; empty = the bootstrap's cache")
mark_as_advanced(SLUICE_DEPS_STEPS SLUICE_DEPS_PREFIX SLUICE_SOURCES_DIR)

include(find_dependency_in)

set(bootstrap "${CMAKE_CURRENT_LIST_DIR}/../deploy/bootstrap-windows-deps.sh")
set(deps_prefix "${SLUICE_DEPS_PREFIX}")
set(deps_sources "${SLUICE_SOURCES_DIR}")
if(CMAKE_HOST_UNIX)
    if(NOT deps_prefix AND CMAKE_CROSSCOMPILING AND WIN32)
        execute_process(COMMAND "${bootstrap}" --print-prefix
            OUTPUT_VARIABLE deps_prefix OUTPUT_STRIP_TRAILING_WHITESPACE)
    endif()
    if(NOT deps_sources)
        execute_process(COMMAND "${bootstrap}" --print-sources
            OUTPUT_VARIABLE deps_sources OUTPUT_STRIP_TRAILING_WHITESPACE)
    endif()
endif()

# Compiles all three from the cache's tarballs, once per build directory.
function(sluice_build_sources ret_prefix)
    set(${ret_prefix} "" PARENT_SCOPE)
    set(prefix "${CMAKE_BINARY_DIR}/dependencies")
    file(GLOB tarballs "${deps_sources}/*.orig.tar.*")
    list(LENGTH tarballs count)
    if(count LESS 3)
        return()
    endif()
    if(NOT EXISTS "${prefix}/complete")
        message(STATUS "Compiling libuv, protobuf-c and cmocka from ${deps_sources}")
        set(toolchain)
        if(CMAKE_TOOLCHAIN_FILE)
            set(toolchain "-DCMAKE_TOOLCHAIN_FILE=${CMAKE_TOOLCHAIN_FILE}")
        endif()
        set(work "${CMAKE_BINARY_DIR}/dependencies-build")
        execute_process(
            COMMAND "${CMAKE_COMMAND}" -G "${CMAKE_GENERATOR}" -B "${work}"
                -S "${PROJECT_SOURCE_DIR}/cmake/dependency-sources"
                "-DSLUICE_SOURCES_DIR=${deps_sources}" "-DCMAKE_INSTALL_PREFIX=${prefix}"
                "-DCMAKE_C_COMPILER=${CMAKE_C_COMPILER}" ${toolchain}
            COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
        execute_process(COMMAND "${CMAKE_COMMAND}" --build "${work}"
            COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
        file(WRITE "${prefix}/complete" "")
    endif()
    set(${ret_prefix} "${prefix}" PARENT_SCOPE)
endfunction()

# sluice_dependency(uv PACKAGE libuv TARGETS uv_a uv ... PKGCONFIG libuv HEADER uv.h
#                   LIBRARIES uv_a uv SYSTEM ws2_32 ...): tries each step until sluice::uv exists.
# ARCHIVE: with pkg-config, this static library is taken if it is there.
function(sluice_dependency name)
    cmake_parse_arguments(dep "" "PACKAGE;PKGCONFIG;HEADER;ARCHIVE"
        "TARGETS;VARIABLES;LIBRARIES;SYSTEM" ${ARGN})
    foreach(step ${SLUICE_DEPS_STEPS})
        set(where "")
        if(step STREQUAL "config")
            sluice_find_config(${name} where)
        elseif(step STREQUAL "pkgconfig" AND NOT CMAKE_CROSSCOMPILING AND NOT MSVC)
            sluice_find_pkgconfig(${name} where)
        elseif(step STREQUAL "prefix" AND deps_prefix)
            sluice_find_prefix(${name} "${deps_prefix}" where)
        elseif(step STREQUAL "source" AND deps_sources)
            sluice_build_sources(built)
            if(built)
                sluice_find_prefix(${name} "${built}" where)
            endif()
        endif()
        if(where)
            message(STATUS "sluice::${name}: ${where}")
            return()
        endif()
    endforeach()
    set_property(GLOBAL APPEND PROPERTY SLUICE_MISSING "${name}")
endfunction()

if(WIN32)
    # What libuv's own CMakeLists.txt names, 1.44 to 1.50.
    set(uv_system psapi user32 advapi32 iphlpapi userenv ws2_32 dbghelp ole32 shell32)
else()
    set(uv_system Threads::Threads ${CMAKE_DL_LIBS} rt)
endif()

# libuv's target: un-namespaced up to 1.44, namespaced later; static preferred.
sluice_dependency(uv PACKAGE libuv TARGETS libuv::uv_a libuv::uv uv_a uv PKGCONFIG libuv
    HEADER uv.h LIBRARIES uv_a libuv_a uv SYSTEM ${uv_system})
# Static, because it ends up inside libsluice.so, which nobody's own protobuf-c may meet.
sluice_dependency(protobuf-c PACKAGE protobuf-c TARGETS protobuf-c::protobuf-c protobuf-c
    PKGCONFIG libprotobuf-c ARCHIVE libprotobuf-c.a HEADER protobuf-c/protobuf-c.h
    LIBRARIES protobuf-c)
# cmocka 1.1.5's package defines variables, no target.
sluice_dependency(cmocka PACKAGE cmocka TARGETS cmocka::cmocka cmocka-static cmocka
    VARIABLES CMOCKA_INCLUDE_DIR CMOCKA_LIBRARIES PKGCONFIG cmocka
    HEADER cmocka.h LIBRARIES cmocka-static cmocka)

find_program(SLUICE_PROTOC_C NAMES protoc-c protoc-gen-c
    HINTS "${VCPKG_INSTALLED_DIR}/${VCPKG_HOST_TRIPLET}/tools/protobuf-c")
if(NOT SLUICE_PROTOC_C)
    set_property(GLOBAL APPEND PROPERTY SLUICE_MISSING "protoc-c")
endif()

get_property(missing GLOBAL PROPERTY SLUICE_MISSING)
if(missing)
    list(JOIN missing ", " missing)
    if(CMAKE_CROSSCOMPILING)
        set(advice "Run deploy/bootstrap-windows-deps.sh (it cross-builds the libraries),\n"
            "and for protoc-c: apt install protobuf-c-compiler")
    elseif(WIN32)
        set(advice "Use the preset windows-msvc with VCPKG_ROOT set (packages: vcpkg.json).")
    else()
        set(advice "On Debian or Ubuntu:\n  apt install pkg-config libuv1-dev "
            "libprotobuf-c-dev protobuf-c-compiler libcmocka-dev")
    endif()
    list(JOIN advice "" advice)
    message(FATAL_ERROR "Not found: ${missing}.\n${advice}\n"
        "Or let deploy/quickstart.sh install everything.")
endif()
