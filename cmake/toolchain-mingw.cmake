# Windows, x86-64, cross-compiled on Linux with MinGW's GCC. The win32 thread model is preferred:
# its runtime does not need libwinpthread.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(SLUICE_MINGW_TRIPLE x86_64-w64-mingw32)

find_program(SLUICE_MINGW_GCC NAMES ${SLUICE_MINGW_TRIPLE}-gcc-win32 ${SLUICE_MINGW_TRIPLE}-gcc)
if(NOT SLUICE_MINGW_GCC)
    message(FATAL_ERROR "No MinGW compiler (${SLUICE_MINGW_TRIPLE}-gcc). On Debian: "
        "apt install gcc-mingw-w64-x86-64-win32, or run deploy/quickstart.sh, which installs all.")
endif()
set(CMAKE_C_COMPILER "${SLUICE_MINGW_GCC}")
set(CMAKE_RC_COMPILER ${SLUICE_MINGW_TRIPLE}-windres)

# Libraries and headers come from the target only, programs from this machine only.
set(CMAKE_FIND_ROOT_PATH /usr/${SLUICE_MINGW_TRIPLE})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
