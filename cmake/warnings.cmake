# sluice_options: what every target of ours is compiled with. Each one links it:
#     target_link_libraries(sluice_base PUBLIC sluice_options)
# It brings the include root (the repository's top: #include "base/list.h"), the warnings, the
# sanitizers of the preset and the platform's definitions. Third-party code never sees it.

add_library(sluice_options INTERFACE)
target_include_directories(sluice_options INTERFACE "${PROJECT_SOURCE_DIR}")

if(WIN32)
    target_compile_definitions(sluice_options INTERFACE
        _WIN32_WINNT=0x0A00 # Windows 10
        WIN32_LEAN_AND_MEAN= # empty, so that a file's own plain #define of it is no clash
        NOMINMAX=
        UNICODE
        _UNICODE)
    if(MINGW)
        # Debian's MinGW links msvcrt, whose own printf knows no %zu.
        target_compile_definitions(sluice_options INTERFACE __USE_MINGW_ANSI_STDIO=1)
        # Only the system's DLLs: no libgcc, no libwinpthread (tests/deps checks the imports).
        target_link_options(sluice_options INTERFACE -static-libgcc)
    endif()
else()
    find_package(Threads REQUIRED)
    target_compile_definitions(sluice_options INTERFACE _GNU_SOURCE)
    target_link_libraries(sluice_options INTERFACE Threads::Threads)
endif()

if(MSVC)
    target_compile_options(sluice_options INTERFACE /W4 /experimental:c11atomics /utf-8)
    target_compile_definitions(sluice_options INTERFACE _CRT_SECURE_NO_WARNINGS)
    if(SLUICE_WERROR)
        target_compile_options(sluice_options INTERFACE /WX)
    endif()
else()
    target_compile_options(sluice_options INTERFACE
        -Wall -Wextra
        -Wconversion
        -Wshadow
        -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
        -Wpointer-arith -Wwrite-strings -Wundef -Wvla
        -Wformat=2 -Wdouble-promotion -Wimplicit-fallthrough
        -fno-common)
    if(SLUICE_WERROR)
        target_compile_options(sluice_options INTERFACE -Werror)
    endif()
endif()

if(SLUICE_SANITIZE)
    set(flags "-fsanitize=${SLUICE_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(sluice_options INTERFACE ${flags})
    target_link_options(sluice_options INTERFACE ${flags})
endif()
