@echo off
rem What a real Windows certifies of Sluice: run.cmd --help, README.txt.
"%~dp0kit.exe" %*
exit /b %ERRORLEVEL%
