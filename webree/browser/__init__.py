"""What runs under Pyodide only: JavaScript values, promises, and the worker's answers to a page.

Nothing outside a browser imports this room. It and webree/hal_webgpu/browser.py are all that touches `js` and
`pyodide`.
"""
